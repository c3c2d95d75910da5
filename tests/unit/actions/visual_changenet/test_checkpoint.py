"""The checkpoint file: what is written is read, and nothing else is."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tao_skill_bank.actions.visual_changenet import checkpoint
from tao_skill_bank.actions.visual_changenet.checkpoint import MAGIC, Trained, load, save
from tao_skill_bank.actions.visual_changenet.network import Architecture, Network
from tao_skill_bank.core.errors import InputError

TRAINED = Trained(epoch=3, step=75, rows=200, seed=1234, batch_size=16, continued_from=None)


def write(path, seed=1, lights=("SolderLight", "White")):
    network = Network(Architecture(3), seed)
    return network, save(path, network, lights, TRAINED)


def test_what_is_saved_is_loaded(tmp_path):
    path = tmp_path / "model_epoch_002_step_00075.pth"
    network, digest = write(path)
    model = load(path)
    assert (model.lights, model.trained, model.digest) == (("SolderLight", "White"), TRAINED, digest)
    assert model.architecture == Architecture(3)
    state = model.network.state()
    assert all(np.array_equal(value, state[name]) for name, value in network.state().items())


def test_the_file_says_what_it_is_and_equal_weights_give_equal_bytes(tmp_path):
    write(tmp_path / "a.pth")
    write(tmp_path / "b.pth")
    data = (tmp_path / "a.pth").read_bytes()
    assert data == (tmp_path / "b.pth").read_bytes()
    assert data.startswith(b"TAO Skill Bank local ChangeNet checkpoint 1\n")
    assert b"not a PyTorch file" in data


def test_a_pytorch_file_is_named_as_such(tmp_path):
    path = tmp_path / "tao.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02.")
    with pytest.raises(InputError, match="is a PyTorch file, which the local ChangeNet cannot use"):
        load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"not a model", "is not a checkpoint"),
        (MAGIC, "header is cut off"),
        (MAGIC + (1 << 40).to_bytes(8, "little") + b"{}", "header is cut off"),
        (MAGIC + (2).to_bytes(8, "little") + b"{}", "header cannot be read"),
        (MAGIC + (2).to_bytes(8, "little") + b"\xff\xff", "header cannot be read"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        load(path)
    assert str(path) in caught.value.line()


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such checkpoint"):
        load(tmp_path / "none.pth")
    with pytest.raises(InputError, match="is a folder"):
        load(tmp_path)


def edited(path, change):
    """Rewrite the header of a checkpoint."""
    data = path.read_bytes()
    start = len(MAGIC) + 8
    length = int.from_bytes(data[len(MAGIC) : start], "little")
    header = json.loads(data[start : start + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(MAGIC + len(text).to_bytes(8, "little") + text + data[start + length :])


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h["network"].update(widths=[10**9]),
        lambda h: h["network"].update(widths=[16, 32, 64]),
        lambda h: h["network"].update(channels=2),
        lambda h: h["network"].update(widths=[16] * 6),
        lambda h: h["network"].update(image_size=1 << 20),
        lambda h: h.update(sha256="0" * 64),
        lambda h: h.update(surplus=1),
        lambda h: h.pop("trained"),
    ],
)
def test_a_header_that_does_not_fit_its_weights_is_refused(tmp_path, change):
    path = tmp_path / "x.pth"
    write(path)
    edited(path, change)
    with pytest.raises(InputError, match="is damaged"):
        load(path)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    path = tmp_path / "x.pth"
    network = Network(Architecture(1), 0)
    network.parameters()[0][0, 0] = np.nan
    save(path, network, (), TRAINED)
    with pytest.raises(InputError, match="not finite"):
        load(path)


def test_a_file_beyond_the_limit_is_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "MOST_FILE_BYTES", 1000)
    path = tmp_path / "x.pth"
    write(path)
    with pytest.raises(InputError, match="more than"):
        load(path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_byte_or_a_cut_is_always_one_clear_error(tmp_path, data):
    path = tmp_path / "x.pth"
    if not path.exists():
        write(path)
    whole = path.read_bytes()
    broken = bytearray(whole)
    if data.draw(st.booleans()):
        broken = broken[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        place = data.draw(st.integers(0, len(whole) - 1))
        broken[place] ^= data.draw(st.integers(1, 255))
    other = tmp_path / "broken.pth"
    other.write_bytes(bytes(broken))
    try:
        model = load(other)
    except InputError as error:
        assert "\n" not in error.line()
    else:
        # Only what says nothing about the weights (a name, a count of rows) can change unnoticed.
        assert model.digest == load(path).digest


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_random_bytes_behind_the_first_line_are_never_a_checkpoint(tmp_path, blob):
    path = tmp_path / "x.pth"
    path.write_bytes(MAGIC + blob)
    with pytest.raises(InputError, match="is damaged"):
        load(path)
