"""Train GCoNet: config → objects → the one visible training loop.

    python train.py                                  the release's recipe, configs/gconet.yaml
    python train.py --config configs/smoke.yaml      toy data, about a minute on a CPU
    python train.py data.root=/data name=mine        any setting, as section.key=value
    python train.py init=pretrained data.root=/data  fine-tune on your own classes
    python train.py --resume runs/mine               resume at the exact step
    torchrun --nproc-per-node 2 train.py             a pair of groups on each GPU

A run writes runs/<name>/: config.yaml, log.jsonl (one line per step), tensorboard/, last.pt and, with
validation.set, best.pt. Ctrl-C or SIGTERM saves and exits with status 128 + the signal's number.
"""

import argparse
import math
import time
from pathlib import Path
from typing import Any

from gconet.cli import new_parser
from gconet.errors import ConfigError, run_command


def parse_args() -> argparse.Namespace:
    parser = new_parser(__doc__)
    add = parser.add_mutually_exclusive_group().add_argument
    release = Path(__file__).parent / "configs/gconet.yaml"
    about = "settings in YAML (default: configs/gconet.yaml, the release's recipe)"
    add("--config", type=Path, default=release, help=about)
    about = "folder of a run, runs/<name>, to resume with its saved settings"
    add("--resume", type=Path, metavar="RUN", help=about)
    about = "any setting of gconet/config.py, such as seed=2"
    parser.add_argument("overrides", nargs="*", metavar="key=value", help=about)
    return parser.parse_intermixed_args()  # settings and options in any order


if __name__ == "__main__":  # answer --help and wrong arguments before the seconds that PyTorch takes to load
    parse_args()

import torch
from torch.amp import GradScaler
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import get_total_norm

from gconet import device as hardware
from gconet.checkpoint import find_checkpoint, load_encoder, load_weights, read_checkpoint
from gconet.config import Config, load_config
from gconet.data.compose import compose
from gconet.data.dataset import Batch, EpisodeDataset
from gconet.data.episodes import make_episodes
from gconet.data.groups import scan_set, scan_sets
from gconet.data.transforms import augment
from gconet.engine.graphs import GraphedStep
from gconet.engine.optimizer import make_optimizer, rates, set_rates, skip_if_not_finite, update
from gconet.engine.plan import plan_training
from gconet.engine.resume import Fixed, find_run, restore, resumed_config
from gconet.engine.run import BEST, LAST, Run, StopSignal
from gconet.engine.steplog import Step, StepLog
from gconet.engine.validation import check_readable, validate
from gconet.losses import Criterion
from gconet.models import build_training_model


def main() -> int:
    hardware.flush_denormals()
    hardware.keep_memory()
    args = parse_args()
    rank, world, local = hardware.launched_ranks()
    if args.resume:
        folder = find_run(args.resume)
    else:
        config = load_config(args.config, args.overrides)
        folder = Path("runs") / config.name
        if rank == 0 and folder.exists():  # rank 0 may have made it before another rank looks
            raise ConfigError(f"{folder} exists; continue it with --resume {folder} or choose name=...")
    with Run(folder, main=rank == 0, resumed=bool(args.resume)) as run:
        content = None
        if args.resume:
            content = read_checkpoint(folder / LAST)
            config = resumed_config(content["config"], args.overrides)
        if world > 1:
            hardware.join_ranks(config.train.device, local)
        return train(config, run, content, rank=rank, world=world)


def train(config: Config, run: Run, content: dict | None, *, rank: int, world: int) -> int:
    """Train to the end of `config`'s schedule, from the checkpoint `content` if there is one.
    Returns the exit status: 0 when done, 128 + the signal's number when asked to stop."""
    device = hardware.pick_device(config.train.device)
    hardware.settle_threads(device)
    if device.index is not None:
        torch.accelerator.set_device_index(device.index)  # streams and events are created on the current GPU
    precision = hardware.pick_precision(config.train.precision, device)
    groups, counts = scan_sets(Path(config.data.root), config.data.train_set)
    held_out = scan_set(Path(config.data.root), config.validation.set) if config.validation.set else ()
    if run.main:
        check_readable(held_out)
    dataset = EpisodeDataset(
        groups,
        make_episodes(config, groups, counts),
        size=config.data.image_size,
        counts=counts,
        distractors=config.data.distractors,
        absent=config.data.absent,
        seed=config.seed,
        rank=rank,
        world=world,
    )
    last = config.train.epochs * dataset.steps_per_epoch
    last = min(last, config.train.steps or last)

    torch.manual_seed(config.seed)
    model = build_training_model(config, classes=len(groups))
    if content is None and config.init:
        load_weights(model.net, config, find_checkpoint(config.init))
    elif content is None:
        load_encoder(model.net.encoder, config.encoder.weights)
    memory_format = hardware.pick_memory_format(device, precision, training=True)
    model = model.to(device).to(memory_format=memory_format)
    criterion = Criterion(**vars(config.loss))
    optimizer = make_optimizer(config.optimizer, model)
    # for fp16 only; at PyTorch's first scale, 2**16, the first gradients of a random network overflow
    scaler = GradScaler(device.type, init_scale=2.0**10, enabled=precision == torch.float16)

    steps = last if config.optimizer.drop_at < 1 else None
    fixed = Fixed(world, [group.name for group in groups], [len(group.items) for group in groups], steps)
    progress: dict[str, Any] = {"step": 0, "best": -math.inf, "sums": {}, **vars(fixed)}
    if content is not None:
        progress |= restore(content, run.folder / LAST, config, model, optimizer, scaler, expected=fixed)
    first = progress["step"]
    if first > last:
        raise ConfigError(f"train.steps or train.epochs: {last} steps, but the run has done {first}")
    sizes = {"images": len(dataset.items), "steps": last - first}
    graph, cache = plan_training(config, model.net.encoder, device, precision, world=world, **sizes)
    if cache:
        dataset.fill_cache(cache, workers=config.data.workers)
    facts = {"device": str(device), "precision": str(precision), "cache": str(cache), "graph": graph}
    run.start(config, first=first, **facts)

    def save(name: str) -> None:
        state = {"optimizer": optimizer.state_dict(), "scaler": scaler.state_dict()}
        run.save(name, model, **state, **progress)

    if content is None:
        save(LAST)  # so that the run can be resumed from its first step
    how = f"steps {first} to {last}, {device}, {str(precision).removeprefix('torch.')}"
    run.say(f"{run.folder}: {len(dataset.items)} images in {len(groups)} classes, {how}")
    parallel = DistributedDataParallel(model) if world > 1 else model

    def train_step(batch: Batch) -> Step:
        """Run one step entirely on the device: nothing here waits for a result."""
        images, masks = batch.images, batch.masks
        if len(batch.others):
            images, masks = compose(images, masks, *batch.composition)
        images, masks = augment(images, masks, batch.angles, batch.flips)
        images = images.contiguous(memory_format=memory_format)
        with hardware.autocast(device, precision):
            output = parallel(images)
        terms = criterion(output, masks, batch.labels)
        loss = criterion.total(terms)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        norm = get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
        values = torch.stack([*terms.values(), loss, norm]).detach()
        values = skip_if_not_finite(optimizer, values, scaler, world=world)
        update(optimizer)
        scaler.update()
        names = (*terms, "total", "gradient_norm", "skipped")[: len(values)]
        return Step(names, values, images, masks, output)

    take = GraphedStep(train_step, optimizer) if graph else train_step
    log = StepLog(run, dataset, device, progress=progress, last=last)
    ahead = hardware.runs_ahead(device)
    loader = dataset.loader(first=first, last=last, workers=config.data.workers, pin=ahead)
    stop, signum, saved = StopSignal(device=device, world=world), 0, time.monotonic()
    for step, batch in zip(range(first, last), loader, strict=True):
        set_rates(optimizer, config.optimizer, dropped=step >= round(config.optimizer.drop_at * last))
        result = take(Batch(*(t.to(device, non_blocking=ahead) for t in batch)))

        epoch, i = divmod(step, dataset.steps_per_epoch)
        done, ends_epoch = step + 1, i + 1 == dataset.steps_per_epoch
        signum = stop.agreed(step)
        late = time.monotonic() - saved > 60 * config.train.save_minutes
        due = bool(ends_epoch or signum or done == last or late)
        log.add(step, result, rates(optimizer), wait=due)  # raises if a loss was not finite
        if ends_epoch:
            run.report(f"epoch {epoch + 1}", log.means(), event="epoch", epoch=epoch)
            run.picture(done, result.images, result.masks, result.output)
        progress.update(step=done, sums=log.sums)
        validates = done == last or (ends_epoch and (epoch + 1) % config.validation.every == 0)
        if due:
            save(LAST)  # before validation, which may fail
        if held_out and run.main and validates:
            scores, name = validate(model.net, held_out, config, device), config.validation.set
            if scores:
                about = {"event": "validation", "epoch": epoch, "step": done, "set": name}
                run.report(f"step {done}, {name}", scores, **about)
                run.scalars(done, "validation", scores)
            if scores and scores["s_measure"] > progress["best"]:
                progress["best"] = scores["s_measure"]
                for file in (BEST, LAST):
                    save(file)
        if due:
            saved = time.monotonic()
            log.restart_clock()
        if signum:
            break
    log.bar.close()
    if signum:
        run.close(event="stopped", signal=signum, step=done)
        run.say(f"stopped after step {done} of {last}; to resume: python train.py --resume {run.folder}")
        return 128 + signum
    run.close(event="done", step=last)
    run.say(f"done: {run.folder / LAST} after {last} steps")
    return 0


if __name__ == "__main__":
    run_command(main)
