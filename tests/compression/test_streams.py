import torch

from slimtune.compression.streams import stream


def test_a_stream_repeats_and_shares_nothing_with_another_name_or_seed() -> None:
    drawn = torch.rand(8, generator=stream(3, "fine-tune"))
    assert torch.equal(drawn, torch.rand(8, generator=stream(3, "fine-tune")))
    for other in (stream(3, "quantize"), stream(4, "fine-tune")):
        assert not torch.equal(drawn, torch.rand(8, generator=other))
