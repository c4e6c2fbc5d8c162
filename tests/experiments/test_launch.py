"""A study under `accelerate launch`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from experiments.ledger import Key, read_runs

SHARED_RUN = """
import json
import sys
import torch
from accelerate import Accelerator
from course_utils.data import digits
from experiments.runner import run_study
from experiments.study import Study, Task
from experiments.study_league import vit

torch.set_num_threads(1)


def few_digits(split, seed):
    return digits("test").subset(slice(0, 250))


STUDY = Study(
    name="shared",
    title="One small transformer",
    tasks=(Task("few", "A few digits", few_digits, in_channels=1, image_size=28),),
    entries=(vit("vit", "vit", depth=2, embed_dim=16, num_heads=2, mlp_dim=32),),
    pairs=(),
    learning_rates=(1e-2,),
    epochs=2,
    batch_size=32,
)
run_study(STUDY, seeds=1, out=sys.argv[1])
if Accelerator().is_main_process:
    print(json.dumps(Accelerator().num_processes))
"""


def test_a_study_of_a_transformer_gives_the_same_losses_under_accelerate_launch(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SHARED_RUN)
    launch = [str(Path(sys.executable).with_name("accelerate")), "launch", "--mixed_precision", "no"]
    two = ["--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--dynamo_backend", "no"]
    losses = {}
    for processes, command in {1: [sys.executable], 2: [*launch, *two]}.items():
        done = subprocess.run(
            [*command, str(script), str(tmp_path / str(processes))],
            capture_output=True,
            text=True,
            env=os.environ | {"ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"},
            timeout=240,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert json.loads(done.stdout.strip().splitlines()[-1]) == processes
        runs = read_runs(tmp_path / str(processes) / "shared")
        losses[processes] = runs[Key("few", "vit", 0, 1e-2)]["train_loss"]
    assert losses[1][1] < losses[1][0]
    assert np.allclose(losses[2], losses[1], rtol=0, atol=1e-5)
