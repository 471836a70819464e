"""Other people's processes and machines: PyTorch's defaults and switches, forks, containers, memory."""

import copy
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import gconet
from gconet import device, machine
from gconet.config import load_config
from gconet.data.ahead import lock
from gconet.data.groups import scan_groups
from gconet.errors import ConfigError
from gconet.inference import predictor as predictor_module
from gconet.inference.folders import write_maps
from gconet.inference.predictor import Predictor
from gconet.models import build_model
from tests.conftest import NARROW, ROOT, read_group

PHOTOS = sorted((ROOT / "data/demo/images/guitar").iterdir())[:2]
B = torch.backends


@pytest.fixture(scope="module")
def net():
    return gconet.load_pretrained()


def make(net, precision="fp32"):
    return Predictor(copy.deepcopy(net), size=64, device="cpu", precision=precision)


@pytest.fixture(scope="module")
def expected(net):
    return {precision: make(net, precision)(PHOTOS) for precision in ("fp32", "bf16")}


def same(maps, expected):
    assert maps[0].std() > 5 and all(np.array_equal(a, b) for a, b in zip(maps, expected, strict=True))


@pytest.mark.parametrize("default", [torch.float64, torch.bfloat16, torch.float16, "meta"])
def test_maps_do_not_depend_on_the_callers_default_dtype_or_device(expected, default):
    try:
        torch.set_default_device(default) if default == "meta" else torch.set_default_dtype(default)
        loaded = gconet.load_pretrained()
        maps = {precision: make(loaded, precision)(PHOTOS) for precision in expected}
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    for precision in expected:
        same(maps[precision], expected[precision])


@pytest.fixture
def switches():
    """PyTorch's precision switches as they are; restores them."""
    places = [B.cuda.matmul, B.cudnn.conv, B.mkldnn.matmul, B.mkldnn.conv]
    yield lambda: [place.fp32_precision for place in places]
    B.cuda.matmul.allow_tf32, B.cudnn.allow_tf32 = False, True
    torch.set_float32_matmul_precision("highest")
    B.fp32_precision = "none"
    for place in places:
        place.fp32_precision = "tf32" if place is B.cudnn.conv else "none"


@pytest.mark.skipif(not device.NEW, reason="PyTorch 2.9")
@pytest.mark.parametrize("how", [
    lambda: setattr(B, "fp32_precision", "tf32"),
    lambda: setattr(B.cuda.matmul, "fp32_precision", "tf32"),
    lambda: setattr(B.cudnn.conv, "fp32_precision", "ieee"),
    lambda: setattr(B.mkldnn.matmul, "fp32_precision", "bf16"),
    lambda: setattr(B.cuda.matmul, "allow_tf32", True),
    lambda: setattr(B.cudnn, "allow_tf32", False),
    lambda: torch.set_float32_matmul_precision("medium"),
    lambda: torch.set_float32_matmul_precision("high"),
])  # fmt: skip
def test_the_callers_precision_switches_stay_and_change_no_map(net, expected, switches, how):
    def queries():
        found = []
        for query in (torch.get_float32_matmul_precision, lambda: B.cudnn.allow_tf32):
            try:
                found.append(query())
            except RuntimeError:  # PyTorch's own answer to a mix
                found.append("raises")
        return found

    how()
    before, answers = switches(), queries()
    same(make(net)(PHOTOS), expected["fp32"])
    assert (switches(), queries()) == (before, answers)


@pytest.mark.skipif(not device.NEW, reason="PyTorch 2.9")
def test_a_switch_that_inherited_its_value_still_does(net, switches):
    B.fp32_precision = "tf32"
    make(net)(PHOTOS)
    B.fp32_precision = "none"
    assert switches()[0] == switches()[2] == "none"


def in_a_fork(work):
    """What `work` returns in a forked process; fails if that takes 60 seconds."""
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    child = fork.Process(target=lambda: theirs.send(work()), daemon=True)
    child.start()
    assert ours.poll(60)
    return ours.recv()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="POSIX")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_predictors_work_in_a_forked_process(net, monkeypatch):
    monkeypatch.setattr(device, "processors", lambda: 2)
    before = torch.get_num_threads()  # one thread rounds differently from two
    torch.set_num_threads(1)
    shared = make(net)
    alone = shared(PHOTOS)
    torch.set_num_threads(2)
    torch.ones(10**6).sin()  # starts OpenMP's threads
    try:
        same(in_a_fork(lambda: shared(PHOTOS)), alone)
        same(in_a_fork(lambda: make(gconet.load_pretrained())(PHOTOS)), alone)  # made in the child
        held, done = threading.Event(), threading.Event()
        with ThreadPoolExecutor(1) as pool:

            def hold():
                with lock("compute"), lock("decode"):
                    held.set()
                    done.wait(60)

            pool.submit(hold)
            held.wait()
            found = in_a_fork(lambda: (shared(PHOTOS), torch.get_num_threads()))
            done.set()
        same(found[0], alone)
        assert found[1] == 1 and torch.get_num_threads() == 2
        monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)
        with pytest.raises(ConfigError, match="spawn"):
            device.settle_threads(torch.device("cuda"))
    finally:
        torch.set_num_threads(before)


PAPER = ["gam.output_conv=false", "gam.softmax=group"]


@pytest.mark.parametrize("overrides", [[], PAPER, ["gam.enabled=false"]])
def test_networks_of_lower_precision_and_exported_ones_give_the_same_maps(overrides):
    built = build_model(load_config(None, [NARROW, *overrides])).eval()
    images = read_group(sorted(PHOTOS[0].parent.iterdir())[:5], 32).pixels.float() / 255
    count = torch.export.Dim("count", min=1, max=64)
    with torch.no_grad():
        maps = built(images)
        for dtype, tolerance in ((torch.float64, 1e-4), (torch.float16, 0.02), (torch.bfloat16, 0.1)):
            lower = copy.deepcopy(built).to(dtype)(images.to(dtype))
            assert lower.isfinite().all() and (lower - maps).abs().max() < tolerance
        exported = torch.export.export(built, (images[:3],), dynamic_shapes=({0: count},)).module()
        for n in (1, 2, 5):
            torch.testing.assert_close(exported(images[:n]), built(images[:n]), atol=1e-4, rtol=0)


def test_a_compiled_network_is_accepted_and_a_script_refused_in_one_line(net, expected):
    compiled = torch.compile(copy.deepcopy(net))
    same(Predictor(compiled, size=64, device="cpu", precision="fp32")(PHOTOS), expected["fp32"])
    halved = Predictor(copy.deepcopy(net).half(), size=64, device="cpu", precision="fp32")(PHOTOS)
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(halved, expected["fp32"], strict=True)) <= 1
    with pytest.raises(ConfigError, match=r"torch\.export"):
        torch.jit.script(net)


def test_every_pool_of_threads_and_pytorch_keep_to_the_processors(monkeypatch, toy, tmp_path, net):
    import gconet.applications.jobs as jobs
    import gconet.data.pictures as pictures
    import gconet.inference.folders as folders

    started = []

    def pool(count):
        started.append(count)
        return ThreadPoolExecutor(count)

    def read_ahead(*args, workers, plain=pictures.read_ahead, **options):
        started.append(workers)
        return plain(*args, workers=workers, **options)

    monkeypatch.setattr(pictures, "read_ahead", read_ahead)
    for module in (jobs, folders, pictures):
        monkeypatch.setattr(module, "processors", lambda: 3)
        monkeypatch.setattr(module, "ThreadPoolExecutor", pool, raising=False)
    write_maps(make(net), scan_groups(toy / "images/toy")[:1], tmp_path)
    jobs.run_jobs(str, [1, 2], desc="")
    assert sorted(started) == [3, 3, 5]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(8)
        monkeypatch.setattr(device, "processors", lambda: 3)
        make(net)
        assert torch.get_num_threads() == 3
        machine.processors()
        monkeypatch.setattr(machine, "read_control_groups", None)
        assert machine.processors() > 0  # the control groups are read once
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("allowed", [None, 2**30])
def test_a_group_that_does_not_fit_is_refused_before_a_picture_is_read(net, tmp_path, monkeypatch, allowed):
    monkeypatch.setattr(predictor_module, "known_memory", lambda device: 2**30 if allowed is None else 2**40)
    shared = make(net)
    shared.memory = allowed
    many = [PHOTOS[0]] * 70_000
    monkeypatch.setattr(predictor_module, "read_groups", None)
    for call in (shared, shared.attention, shared.consensus, shared.remember):
        with pytest.raises(ConfigError, match=r"70000 images .* need \d+\.\d\d GiB .* but 1\.00 is .* free"):
            call(many)
    group = scan_groups(PHOTOS[0].parent)[0]
    monkeypatch.setattr(predictor_module, "known_memory", lambda device: 2**20)
    shared.memory = None
    with pytest.raises(ConfigError, match="need"):
        write_maps(shared, [group], tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_group_is_not_refused_because_of_a_guess(net, monkeypatch, expected):
    monkeypatch.setattr(predictor_module, "known_memory", lambda device: None)  # macOS, Windows
    same(make(net)(PHOTOS), expected["fp32"])
