# %% [markdown]
# # slimtune in one sitting
#
# Search for small, fast versions of a classifier of handwritten digits, look at the result, and
# use one. Open this file as a notebook (VS Code and Jupytext do), or run it:
# `python examples/quickstart.py`. It takes some minutes on two cores.

# %%
import tempfile
from pathlib import Path

import matplotlib

import slimtune as st

folder = Path(tempfile.mkdtemp(prefix="slimtune-"))

# %% [markdown]
# The preset `demo` trains a small ResNet, the *baseline*, and tries ways to compress it. Every
# trial is a whole pipeline: prune, fine-tune with the baseline as teacher, quantize, export,
# measure.

# %%
run = st.search(preset="demo", trials=40, out=folder / "run")

# %% [markdown]
# The answer is the front: the trials that no other trial dominates. `accuracy` is measured on
# images that the search selected on, `test_accuracy` on images that nothing was selected on.

# %%
front = run.front()
print(front.drop(columns="pipeline").to_string())
print(run.baseline["objectives"])

# %%
matplotlib.use("Agg")  # in a notebook: leave this out
axes = front.plot.scatter("size_bytes", "accuracy", c="latency_ms", logx=True, colormap="viridis")
axes.set_title(f"{len(front)} ways to make it smaller")
axes.figure.savefig(folder / "front.png")

# %% [markdown]
# The knee is the default choice. With limits you choose by your own needs. If no member is within
# them, slimtune names the trial that comes nearest.

# %%
knee = run.pick("knee")
print(knee.number, knee.record.pipeline)
try:
    run.pick("accuracy", max_size_bytes=1000)
except st.SlimtuneError as error:
    print(error)

# %% [markdown]
# An export has the ONNX file, and the same network for torch.

# %%
deploy = knee.export(folder / "deploy")
network = st.load_model(deploy)
print(sorted(file.name for file in deploy.iterdir()))
print(sum(p.numel() for p in network.parameters()), "parameters")
