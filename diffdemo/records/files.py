"""What the files and folders are called that a run leaves, for those who write them and those who read them.

The names of a checkpoint's own files, `config.json` and those with its weights, stand in `diffdemo.description`.
"""

# Of the training itself.
RUN, STATE, LOCK, HISTORY = "run.json", "state.safetensors", ".lock", "history.csv"
TRAINED = ".trained"  # is there once training itself is over, and drawing may go on
SNAPSHOTS = "snapshots"  # folder of checkpoints kept on the way
PLAN = "all.json"  # of train.all, beside its runs

# What is drawn on the way and in the end, in folders; each picture is called by its moment.
SAMPLES, EPOCHS = GRIDS = ("samples", "epoch_visualizations")
LAST = "final"
STRIP = "_steps"  # ends the name of a strip that belongs to the grid of that name
EPOCH, IMAGES = "epoch", "images"

# What is drawn when it is over.
LOSS, FORWARD, BACKWARD, CONFUSION = "loss.png", "forward.png", "backward.png", "confusion.png"
FIGURES = "figures"  # folder of those of a model of latents
SAMPLES_GRID, DENOISING_STEPS, ANIMATION = "samples_grid.png", "denoising_steps.png", "diffusion.gif"
RECONSTRUCTIONS, LATENT_SPACE = "reconstructions.png", "latent_space.png"

# What is measured of it.
EVALUATION = "evaluation.json"
SHARDS, DRAWN = "shards", "samples.json"  # folder of the samples that are measured, and what says in it which they are
TABLES = {"steps": "quality_steps.csv", "guidance_scale": "quality_guidance.csv", "images": "quality_training.csv"}
CARD = "README.md"


def graph_of(table: str) -> str:
    """What the drawing of a table is called, which lies beside it."""
    return table.replace(".csv", ".png")


def at_epoch(epoch: int) -> str:
    """The moment after so many epochs."""
    return f"{EPOCH}_{epoch:04}"


def at_images(images: int) -> str:
    """The moment after so many pictures."""
    return f"{IMAGES}_{images:09}"
