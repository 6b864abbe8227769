"""Wrong calls, typed as a user would: each ends with status 2 and one line that helps, and leaves nothing behind."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.support.parameters import mark_slow

EACH_CALL = Path(__file__).parents[1] / "support" / "scripts" / "each_call.py"

# what was typed, and what the line must hold
NO_HYDRA = {
    "trian": "got 'trian'. Did you mean copycat train?",
    "--versoin": "Did you mean copycat --version?",
    "test": "Did you mean copycat evaluate?",
    "tune": "Did you mean copycat train -m?",
    "data": "expected COMMAND; got none",
    "data chekc": "expected one of fetch, check, draw, convert; got 'chekc'. Did you mean copycat data check?",
    "data fetch dogs": "expected one of cats; got 'dogs'",
    "data draw": "expected FOLDER; got none",
    "data convert x": "expected TO; got none",
    "data convert nowhere to": "data convert: expected a folder, a file or an address; nowhere is not there",
    "data convert . to --to zip": "--to: expected one of shards, webdataset, lance, folder; got 'zip'",
    "data convert . to --rows 0": "--rows: expected a whole number from 1 to 1048576; got '0'",
    "data draw x --seed banana": "--seed: expected a whole number from 0 to 4294967295; got 'banana'",
    "data draw x --seed -1": "--seed",
    "board --prot 5": "--prot: no such flag; expected --debug, --help, --no-browser, --port, -h. Did you mean --port?",
    "resume x --epochs 5": "--epochs: no such flag; expected --debug, --devices, --failed, --help, -h.",
    "predict x -dash.png": "-dash.png: no such flag; expected --csv, .* Type copycat predict --help",
    "board --port 70000": "--port: expected a whole number from 0 to 65535; got '70000'",
    "runs a b": "b: expected no more arguments",
    # folders that are none, or are no run's
    "runs nowhere": "nowhere: expected a folder of runs",
    "board nowhere": "nowhere: expected a folder of runs",
    "resume x trainer.devices=1": "trainer.devices: expected a flag of resume; got a key. Type --devices 1.",
    "resume x hydra.sweeper.n_trials=16": "Type copycat train -m … hydra.sweeper.n_trials=16 sweep.folder=SWEEP.",
    "resume nowhere": "nowhere: expected the folder of a run; got a path that does not exist",
    "resume .": "expected the folder of a run; got a folder without run.json",
    "rerun nowhere": "nowhere: expected the folder of a run; got a path that does not exist",
    "rerun experiments/lectrue": "Did you mean copycat rerun experiments/lecture?",
    "rerun": "expected RUN; got none",
    "rerun .": "expected the folder of a run; got a folder without run.json",
    "rerun experiments/lecture --check": "--check: expected the folder of a run",
    "rerun experiments/lecture seed=2": "seed=2: expected no more arguments",
    "rerun x --tolerance -1": "--tolerance: expected a number from 0, as 1e-6; got '-1'",
    "rerun x --tolerance much": "--tolerance: expected a number from 0, as 1e-6; got 'much'",
    "compare nowhere .": "nowhere: expected the folder of a run; got a path that does not exist",
    "plots nowhere": "nowhere: expected the folder of a sweep; it has no sweep.json",
    "plots .": r"\.: expected the folder of a sweep; it has no sweep.json",
    "report nowhere": "nowhere: expected the folder of a run; got a path that does not exist",
    "report . .": r"\.: expected the folder of a run; got a folder without run.json",
    "predict nowhere image.png": "nowhere: expected the folder of a run; got a path that does not exist",
    "predict . image.png": "expected the folder of a run; got a folder without run.json",
    "evaluate nowhere": "nowhere: expected the folder of a run; got a path that does not exist",
    "evaluate . nowhere": r"\.: expected a completed run, or a folder of them; got none",
    "evaluate data=cats": "evaluate: expected the folder of a run; got 'data=cats' alone",
    "export nowhere --format onnx": "nowhere: expected the folder of a run; got a path that does not exist",
    "export . --format pickle": "--format: .*'pickle'",
    "export .": "expected --format; got none",
    "app nowhere": "nowhere: expected a completed run, or a folder of them; got none",
    "inspect --weights nowhere": "nowhere: expected a completed run, with weights.safetensors",
    "inspect --weights .": "expected a completed run, with weights.safetensors; it has none",
    "inspect --schedule scheduler=cosine --to x.doc": "--to: expected a file that ends in .png; got x.doc",
    "inspect --weights": "--weights: expected one argument; got none. Type copycat inspect --help",
}
NO_TORCH = {
    # groups and options
    "train optimzer=adam": "optimzer: no such key; got 'optimzer=adam'. Did you mean optimizer=adam?",
    "train optimizer=adma": "optimizer: expected one of adam, adamax, .* got 'adma'. Did you mean optimizer=adam?",
    "train criterion=focal": r"got 'criterion=focal'\. Did you mean loss=focal?",
    "train trainer=gpu": r"got 'gpu'\. For a type of device, type trainer.accelerator=gpu\.",
    "train ckpt_path=last.ckpt": r"ckpt_path: no such key; .* To resume a run, type copycat resume RUN\.",
    "train model=depe": "Did you mean model=deep?",
    "train experiment=lectrue": "Did you mean experiment=lecture?",
    "train data=dogs": "data: expected one of cats, csv, drawn, folder, hf, hub, lance, shards, webdataset; got 'dogs'",
    "train data=shards data.root=nowhere": "data.root: expected a folder, a file or an address; nowhere is not there",
    "train data=webdataset data.root=nowhere": "data.root: expected a folder, a file or an address; nowhere is not",
    "train data=lance data.root=nowhere": "data.root: expected a folder, a file or an address; nowhere is not there",
    "train data=shards": "data.root: expected a value",
    "train data=shards data.rot=x": "Did you mean data.root=x?",
    "train trainer=null": "trainer: expected one of ddp, default, fsdp; got null",
    "train optimizer=[adam,sgd]": r"optimizer: expected one of .* got \['adam', 'sgd'\]",
    "train model={}": "model: expected one of .* got {}",
    "train ~model": "model: expected a value; got none",
    "train ~data": "data: expected an option",
    "train ~seed": "seed: expected a value; got none",
    "train hydra/launcher=banana": "hydra/launcher: expected one of .*basic",
    "train optimizer@second=adam": "without an @",
    # words of other frameworks
    "train --lr 0.1": "--lr: no such flag; .* A key has no dashes, as in optimizer.lr=1e-3. Type copycat train --help",
    "train optimizer.learning_rate=0.1": "Did you mean optimizer.lr=0.1?",
    "train data.val_split=0.3": "Did you mean data.holdout=0.3?",
    "train 'data_dir=my photos'": "Did you mean data=folder data.root='my photos'?",
    "train num_classes=3": "Leave it out: the classes are those of the data",
    "train loss=ce": "Did you mean loss=cross_entropy?",
    "train scheduler=ReduceLROnPlateau": "Did you mean scheduler=plateau?",
    "train -m seed=1,2 hydra/sweeper=optuna hydra.sweeper.direction=maximize": "Did you mean sweep.direction=maximize?",
    # keys
    "train lr=0.1": "Did you mean optimizer.lr=0.1?",
    "train epochs=5": "Did you mean trainer.max_epochs=5?",
    "train batch_size=8": "Did you mean data.batch_size=8?",
    "train optimizer.mometum=0.5": "expected dampening, .* Did you mean optimizer.momentum=0.5?",
    "train trainer.profiler=simple": r"To pass it on to pytorch_lightning.Trainer, type \+trainer.profiler=simple",
    "train trainer.overfit_batches=1": r"got 'trainer.overfit_batches=1'. To pass it on .* \+trainer.overfit_batches=1",
    "train optimizer.maximize=true": r"To pass it on to torch.optim.SGD, type \+optimizer.maximize=true",
    "train model=cnn model.padding=1": r"model.padding: no such key; .* got 'model.padding=1'\.$",
    "train trainer.fast_dev_run=true": "as Copycat sets it; got true. Type trainer.max_epochs=1 trainer.limit_train",
    "prove nowhere": "nowhere: expected the folder of a sweep; it has no sweep.json",
    "prove nowhere sweep.prove_round=3": "nowhere: expected the folder of a sweep",
    "train -m seed=1,2 sweep.prove=maybe": "sweep.prove: expected true or false; got 'maybe'",
    "train -m seed=1,2 sweep.prove=true sweep.objective=parameters": "sweep.prove: expected a metric",
    "train -m sweep.when.model=x": r"no such key in sweep.when yet; .* To add it, type \+sweep.when.model=x",
    "train +sead=1": "sead: no such key; .* Did you mean seed?",
    "train +optimizer.lr=0.5": r"got '\+optimizer.lr=0.5'. Type optimizer.lr=0.5",
    "train ~x": "x: no such key; got '~x'",
    "train hydra.banana=1": "Could not override 'hydra.banana'",
    # types and ranges
    "train optimizer.lr=banana": "optimizer.lr: expected a number > 0; got 'banana'",
    "train optimizer.lr=-1": "expected a number > 0; got -1",
    "train optimizer.lr=nan": "expected a number > 0; got nan",
    "train optimizer.lr=": "expected a number > 0; got ''",
    "train optimizer.lr=true": "expected a number > 0; got true",
    "train optimizer.momentum=2": "expected a number from 0 to below 1; got 2",
    "train trainer.max_epochs=-1": "trainer.max_epochs: expected a whole number ≥ 1; got -1",
    "train trainer.max_epochs=2.5": "expected a whole number ≥ 1; got 2.5",
    "train data.batch_size=0": "data.batch_size: expected a whole number ≥ 1, or null; got 0",
    "train seed=-1": "seed: expected a whole number from 0 to 4294967295; got -1",
    "train seed={a:1}": "seed: expected a whole number from 0 to 4294967295; got {",
    "train optimizer.lr={a:1}": "optimizer.lr: expected a number > 0; got {",
    "train data=folder data.root=. data.memory_mb=0.5": "data.memory_mb: expected a whole number ≥ 0; got 0.5",
    "train data.batch_size={a:1}": "data.batch_size: expected a whole number ≥ 1, or null; got {",
    "train augmentation=pipeline augmentation.transforms={_target_:torch.nn.ReLU}": "expected a list of keys with a",
    "train lr_multipliers=3": r"lr_multipliers: expected patterns with a factor each, as {head.\*: 10}, or null; got 3",
    "train test=maybe": "test: expected true or false; got 'maybe'",
    "train model.hidden=13": r"model.hidden: expected a list of widths ≥ 1, as \[20,7,5\]; got 13",
    "train model=deep model.hidden=[20,0]": r"got \[20, 0\]",
    "train model.style=sequentail": "Did you mean model.style=sequential?",
    "train trainer.accelerator=gup": "Did you mean trainer.accelerator=gpu?",
    "train trainer.deterministic=banana": "expected true or false or warn; got 'banana'",
    "train loss.reduction=none": "expected one of mean, sum; got 'none'",
    "train optimizer=adam optimizer.betas=[0.9,1.0]": r"two numbers from 0 to below 1, .* got \[0.9, 1.0\]",
    "train optimizer._target_=Adam": "expected the dotted name of a class",
    "train optimizer.lr='${nope}'": "optimizer.lr: expected a value, .*'nope' not found",
    "train callbacks.best.monitor=val/mcc callbacks.best.mode=max": "got 'val/mcc'. Type metrics=mcc too.",
    "train -m seed=1,2 sweep.objective=val/kappa": "got 'val/kappa'. Type metrics=kappa too.",
    "train callbacks.best.monitor=val/accuracy": "callbacks.best.mode: expected max, as val/accuracy is monitored",
    "train +trainer.logger=false": "trainer.logger: expected nothing, .* got false. Type logger=OPTION.",
    "train +trainer.overfit_batches=1 data.batch_size=8": "got data.shuffle=null. Type data.shuffle=false.",
    "train +callbacks.x._target_=pytorch_lightning.callbacks.BatchSizeFinder": r"Type copycat inspect --batch-size\.",
    "train +callbacks.x._target_=pytorch_lightning.callbacks.RichProgressBar": "expected no RichProgressBar, as Copyc",
    "train trainer.devices=2": "trainer.devices: expected 1 without ranks; got 2. Type trainer=ddp.",
    "train trainer=ddp trainer.devices=[0,1] trainer.accelerator=cpu": r"got \[0, 1\]. Type trainer.devices=2.",
    "train +trainer.num_nodes=2": "trainer.num_nodes: expected 1 without ranks",
    "train trainer._target_=mine.Trainer +trainer.num_nodes=2": "trainer.num_nodes: expected 1 without ranks",
    "train trainer.precision=16-mixed trainer.accelerator=cpu": "no float16 on the CPU; .*Type .*=bf16-mixed",
    "train optimizer=lbfgs trainer.precision=16-mixed trainer.accelerator=gpu": "optimizer=lbfgs: expected unscaled",
    "train model=cnn trainer.channels_last=yes": "trainer.channels_last: expected true or false; got 'yes'",
    "train -m seed=1,2 hydra.sweep.dir=x": "hydra.sweep.dir: expected nothing, as Copycat sets it",
    "train scheduler=plateau scheduler.interval=step": "scheduler.interval: expected epoch, .*got 'step'",
    "train callbacks.best.monitor=test/accuracy": "callbacks.best.monitor: expected one of val/loss, train/accu",
    "train output_dir=": "output_dir: expected a non-empty string; got ''",
    # what cannot work together
    "train optimizer=sparse_adam": "expected a model with sparse gradients; got dense ones. Type model=bag_of_colors",
    "train loss=bce model.out_features=3": "expected model.out_features=1; got 3. Type loss=cross_entropy",
    "train data=folder": "data.root: expected a value; got none. Type data.root=VALUE",
    "train data=folder data.root=nowhere": "data.root: expected a folder; nowhere is not there",
    "train -m data=folder data.root=nowhere seed=1,2": "data.root: expected a folder; nowhere is not there",
    "train data=folder data.root=~nosuchuser/photos": "data.root: expected a folder; ~nosuchuser/photos is not there",
    "train data=folder data.root=null": "data.root: expected a folder; got null. Type data.root=FOLDER",
    "data check data=folder data.root=": "data.root: expected a folder; got nothing. Type data.root=FOLDER",
    "train data=shards ++data.root=null": "data.root: expected a folder; got null. Type data.root=FOLDER",
    "data check data=folder data.root=nowhere": "data.root: expected a folder; nowhere is not there",
    "train data=folder data.root=. augmentation=light augmentation.shift=64": "shift: expected less than .* 64 pixels",
    "train data=folder data.root=. augmentation=mixup augmentation.base.shift=70": "base.shift: .* 64 pixels; got 70",
    # what was meant
    "train modle=deep": "Did you mean model=deep?",
    "train data='my photos'": "type data=folder data.root='my photos'",
    "train modle=depe": "Did you mean model=depe?",
    "train -m modle=deep,cnn": "Did you mean model=deep?",
    "inspect model.name=resnet18": "Type model=timm model.name=resnet18.",
    "train data=folder data.root=2020": "expected a non-empty string, or null; got 2020. Type data.root=./2020.",
    "train output_dir=7": "output_dir: expected a non-empty string; got 7. Type output_dir=./7.",
    "train logger=mlflow logger.mlflow.run_name=5": "Type \"logger.mlflow.run_name='5'\".",
    "train 'data.root=it\"s'": 'Type "data.root=\'it."s\'".',
    'train "data.root=it\'s"': r"""Type "data.root=\\"it's\\""\.""",
    "train \"data.root='it's'\"": r"""Type "data.root=\\"it's\\""\.""",
    "train -m 'data.batch_size=choice(null, 8)'": "Type data.batch_size=null,8.",
    "train model=resnet18": "type model=torchvision model.name=resnet18, or model=timm",
    "train data=photos": "For a folder of images, type data=folder data.root=photos",
    "train data.image_size=224": "a key of data=csv, folder, …, webdataset. Type data=csv data.file=VALUE data.ima",
    "train 'optimizer.betas=[0.9,0.99]'": r"a key of optimizer=adam, adamax, .* Type optimizer=adam 'optimizer.betas",
    "train callbacks.early_stopping.patience=3": "Type callbacks=early_stopping callbacks.early_stopping.patience=3",
    "train -cn lecture": "-cn: no such flag. Type experiment=NAME",
    "train --config-dir=mine": "--config-dir: no such flag. Put options into ./conf",
    # sweeps
    "train optimizer=adam,sgd": "For a sweep, type copycat train -m",
    "train 'experiment=glob(*)'": "For a sweep, type copycat train -m",
    "inspect seed=1,2": "For a sweep, type copycat train -m",
    "train -m 'experiment=glob(zz*)'": "expected at least one match; got none",
    "train -m optimizer=adam,sgdd": "got 'sgdd'. Did you mean optimizer=sgd?",
    "train -m seed=1 optimizer.lr=0.1,banana": "got 'banana'",
    "train -m 'optimizer.lr=interval(0,1)'": "got an interval",
    "train -m 'seed=range(0,1,0)'": "expected a range that ends",
    "train -m 'seed=7,range(0,2)'": "seed: expected values, or one range, glob or interval alone; got 'seed=7,range",
    "train -m 'model=deep,glob(l*)'": "model: expected values, or one range, glob or interval alone; got 'model=deep,",
    "train -m 'model.hidden=[5,range(1,3)]'": "To vary one item of a list, type model.hidden.1=VALUES",
    "train -m seed=1,2 sweep=learning_rat": "Did you mean sweep=learning_rate?",
    "train sweep=learning_rate": "sweep.params: expected one run, .*type copycat train -m",
    "train hydra/sweeper=optuna hydra.sweeper.n_trials=9": "hydra/sweeper: expected one run, .*type copycat train -m",
    "inspect --lr-find hydra/launcher=packed": "hydra/launcher: expected one run, .*type copycat train -m",
    "train sweep.prove=true": "sweep.prove: expected one run, .*type copycat train -m",
    "train -m seed=1,2 sweep.objective=test/accuracy": "'test/accuracy': test metrics cannot be used to select trials",
    "train -m seed=1,2 sweep.objective=[val/loss,test/f1]": "test metrics cannot be used to select trials",
    "train -m seed=1,2 sweep.objective=[val/loss,val/acuracy]": "Did you mean val/accuracy?",
    "train -m seed=1,2 sweep.direction=minimise": "Did you mean sweep.direction=minimize?",
    "train -m seed=1,2 sweep.direction=[minimize,maximize]": "sweep.direction: expected one for each objective",
    "train -m seed=1,2 \"sweep.constraints=['val/recal>=0.8']\"": "got 'val/recal' in .* Did you mean val/recall?",
    "train -m seed=1,2 \"sweep.constraints=['val/recall>0.8']\"": r"expected a list as .*got \['val/recall>0.8'\].$",
    "train -m seed=1,2 sweep.direction=min": "Did you mean sweep.direction=minimize?",
    "train -m seed=1,2 sweep.objective=val/los": "sweep.objective: expected val/loss, parameters, seconds, train/",
    "train -m seed=1,2 \"sweep.constraints=['test/f1>=0.8']\"": "test metrics cannot be used to select trials",
    "train -m seed=1,2 sweep.max_failures=0": "sweep.max_failures: expected a whole number ≥ 1",
    "train -m seed=1,2 sweep.folder=a,b": "sweep.folder: expected one value for the whole sweep",
    "train -m seed=1,2 sweep.params=3": "sweep.params: expected keys",
    # axes that go together
    "train -m seed=1,2 sweep.zip=[seed,modle] model=deep,cnn": "sweep.zip: expected keys that vary, .*mean model?",
    "train -m seed=1,2,3 sweep.zip=[seed,model] model=deep,cnn": "got 3 of seed, 2 of model",
    "train -m seed=1,2 sweep.zip=[[seed,model],[seed]] model=deep,cnn": "expected each key once; got seed again",
    "train -m seed=1,2 sweep.zip=[1,2]": r"sweep.zip: expected keys that go together, .* got \[1, 2\]",
    "train -m seed=1,2 '+sweep.when.seed=\"modle=cnn\"' model=cnn,deep": "sweep.when.seed: .*Did you mean model?",
    'train -m seed=1,2 model=cnn,deep \'+sweep.when={seed: "model=cnn", model: "seed=1"}\'': "without a circle",
    # searches
    "train -m seed=1,2 hydra/sweeper=optnua": "Did you mean hydra/sweeper=optuna?",
    "train -m seed=1,2 hydra/sweeper=optuna hydra/sweeper/sampler=tpee": "Did you mean hydra/sweeper/sampler=tpe?",
    "train -m seed=1,2 hydra/sweeper=optuna hydra/sweeper/pruner=medain": "Did you mean hydra/sweeper/pruner=median?",
    "train -m seed=1,2 hydra/launcher=proceses": "Did you mean hydra/launcher=processes?",
    "train -m seed=1,2 hydra/sweeper/sampler=tpe": "Type hydra/sweeper=optuna too",
    "train -m seed=1,2 hydra.sweeper.n_trials=5": "For a search, type hydra/sweeper=optuna",
    "train -m seed=1,2 hydra.launcher.workers=5": "type hydra/launcher=processes",
    "train -m seed=1,2 hydra/sweeper=optuna hydra.sweeper.n_trails=5": "Did you mean hydra.sweeper.n_trials=5?",
    "train -m seed=1,2 hydra/sweeper=optuna hydra.sweeper.n_trials=0": "n_trials: expected a whole number ≥ 1; got 0",
    "train -m 'seed=interval(1,3)' hydra/sweeper=optuna": r"For whole numbers, type seed=int\(interval\(1,3\)\)",
    "train -m hydra/sweeper=optuna": "expected a key that varies",
    "train -m 'optimizer.lr=interval(1,0.1)' hydra/sweeper=optuna": "optimizer.lr: expected first < last",
    "train -m 'optimizer.lr=tag(log,interval(0,1))' hydra/sweeper=optuna": "expected 0 < first < last",
    "train -m 'optimizer.lr=interval(1,2)' hydra/sweeper=optuna hydra/sweeper/sampler=grid": "a choice or a range for",
    "train -m 'optimizer.lr=interval(1,2)' seed=1,2 hydra/sweeper=optuna sweep.zip=[optimizer.lr,seed]": "for sweep",
    "train -m seed=1,2 hydra/sweeper=optuna hydra/sweeper/pruner=median sweep.objective=seconds": "that each epoch has",
    # words and flags
    "train lecture": "expected KEY=VALUE, .* got 'lecture'. Did you mean experiment=lecture?",
    "train optimizer adam": "got 'optimizer'. Type optimizer=OPTION",
    "train ''": "expected KEY=VALUE",
    "train =": "expected KEY=VALUE",
    "train ~": "expected KEY=VALUE",
    "train +": "expected KEY=VALUE",
    "train é=ü": "expected KEY=VALUE, .* got 'é=ü'",
    "train 'model.hidden=[20,7'": "expected KEY=VALUE",
    "train a.b.c=": "a.b.c: no such key",
    "train --mutlirun": "--mutlirun: no such flag; .* Did you mean --multirun?",
    "train --config-name x": "--config-name: no such flag. Type experiment=NAME",
    "train --cfg banana": "--cfg: expected one of job, hydra, all; got 'banana'",
    "train --cfg job optimizr=adam": "Did you mean optimizer=adam?",
    "train -m --cfg job": "got both",
    "train hydra.mode=banana": "Type -m for a sweep",
    "train hydra.run.dir=elsewhere": "Type output_dir=FOLDER",
    "data check dta=cats": "Did you mean data=cats?",
    "train loss.class_weights=balancd": "Did you mean loss.class_weights=balanced?",
    "train loss.weight=[1.0,2.0]": "loss.weight: expected the new name of this key. Type loss.class_weights.",
    "train normalize=true": r"normalize: expected train, {mean: \[0.5\], std: \[0.25\]}, or null; got true",
    "train normalize={mean:[0.5]}": r"or null; got {mean: \[0.5\]}",
    "train normalize={mean:[0.5],std:[0]}": r"normalize.std: expected a list of numbers > 0, one .* got \[0\]",
    "train normalize=train model=bag_of_colors": r"expected null, as BagOfColors .* got 'train'\. Type normalize=null",
    "train data.standardize=true": "Did you mean normalize=train?",
    "train data.sampler=balanced data.shuffle=false": "expected data.shuffle=true or null, .* got false",
    "train data.sampler=balanced loss.class_weights=balanced": "would correct the imbalance twice. Type loss.class_w",
    "inspect model=depe": "Did you mean model=deep?",
    "inspect --wieghts x": "--wieghts: no such flag; .* Did you mean --weights",
    "inspect -m": "-m: no such flag",
}
TORCH_TOO = {
    "train data=cats data.root=nowhere": "Get it by `copycat data fetch cats nowhere`",
    "train +optimizer.mometum=0.5": "takes dampening, .* got 'mometum'. Did you mean optimizer.momentum?",
    "train +trainer.max_stpes=5": "Did you mean trainer.max_steps?",
    "train trainer.channels_last=true": "channels_last=true: expected a network that trains convolutions .*got MLP",
    "train trainer.activation_checkpointing=true": "checkpointing=true: expected a network of blocks.* got MLP",
    "train optimizer._target_=torch.optim.Adma": "'torch.optim' has no attribute 'Adma'",
    "train data.train=3 data.cat_share=0.01 loss.class_weights=balanced": "got none of cat. Type loss.class_w",
    "train data.train=3 data.cat_share=0.01 data.sampler=balanced": "got none of cat. Type data.sampler=null",
    "train loss.class_weights=[1.0,2.0,3.0]": "loss.class_weights: expected 2 numbers, one per class; got 3",
    "train model.in_features=5": "model.in_features: expected 12288, .* got 5",
    "train model=cnn model.channels=[1,1,1,1,1,1,1,1]": "poolings need images of at least 256×256",
    "train augmentation=light augmentation.shift=64": "augmentation.shift: expected less than the images' 64 pixels",
    "train loss=mse model.out_features=5": "model.out_features: expected .* got 5",
}
KINDS = (NO_HYDRA, NO_TORCH, TORCH_TOO)
CALLS = {call: said for kind in KINDS for call, said in kind.items()}
Answer = dict[str, Any]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Answer]]:
    """What a call did, made in a process that makes the calls of one kind, to import once what these need."""
    environment = {name: value for name, value in os.environ.items() if name != "COPYCAT_DATA"}
    with ExitStack() as ended:
        processes = [
            ended.enter_context(
                subprocess.Popen(
                    [sys.executable, EACH_CALL, *(["hydra"] if kind is not NO_HYDRA else [])],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    cwd=tmp_path_factory.mktemp("empty"),
                    env=environment,
                )
            )
            for kind in KINDS
        ]

        @cache
        def make(call: str) -> Answer:
            process = next(process for kind, process in zip(KINDS, processes, strict=True) if call in kind)
            assert process.stdin
            assert process.stdout
            print(json.dumps(shlex.split(call)), file=process.stdin, flush=True)
            answer: Answer = json.loads(process.stdout.readline())
            return answer

        yield make


@pytest.mark.parametrize("call", mark_slow(CALLS, fast=[*NO_HYDRA, *[*NO_TORCH, *TORCH_TOO][::3]]))
def test_a_wrong_call_is_one_line_that_says_what_to_type(call: str, answers: Callable[[str], Answer]) -> None:
    answer = answers(call)
    assert answer["err"].startswith("copycat: ")
    assert answer["err"].endswith("\n")
    assert answer["err"].count("\n") == 1
    # the table is of plain sentences: a question mark or a full stop in them is meant as one
    assert re.search(CALLS[call].replace("?", r"\?"), answer["err"]), answer["err"]
    assert answer["status"] == 2
    assert answer["out"] == ""
    assert answer["left"] == []
    if call not in TORCH_TOO:
        assert set(answer["imported"]) <= (set() if call in NO_HYDRA else {"hydra"})


@pytest.mark.parametrize("call", ["train optimizer=adma", "train -m optimizer=adam,sgdd", "inspect model=depe"])
def test_a_process_of_its_own_answers_alike(call: str, answers: Callable[[str], Answer], tmp_path: Path) -> None:
    script = Path(sys.executable).parent / "copycat"
    ran = subprocess.run([script, *shlex.split(call)], capture_output=True, text=True, cwd=tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", answers(call)["err"])
    assert list(tmp_path.iterdir()) == []
