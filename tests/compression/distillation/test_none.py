from slimtune.compression.distillation import NoDistillation


def test_the_loss_is_the_loss_on_the_labels(make_batch) -> None:
    batch = make_batch(teacher=None)
    assert NoDistillation().loss(batch) is batch.hard
    assert not NoDistillation().needs_teacher
