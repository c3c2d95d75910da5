"""Which encoder runs, and what is said where one cannot."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tao_skill_bank.actions.mining import encoders
from tao_skill_bank.actions.mining.encoders import find_weights, get_encoder, learned_encoder_ready
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.data.pictures.decode import ImageError


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    cache = tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    return cache


def put_model(folder):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_auto_is_the_local_descriptor_where_no_weights_are_on_disk():
    assert get_encoder("auto").name == "local-descriptor"
    assert get_encoder("LOCAL").name == "local-descriptor"


def test_weights_are_found_in_a_folder_and_in_the_hub_cache(tmp_path, empty_cache):
    folder = put_model(tmp_path / "model")
    assert find_weights(str(folder)) == folder
    repository = empty_cache / "models--google--siglip-base-patch16-224"
    snapshot = put_model(repository / "snapshots" / "abc")
    with pytest.raises(InputError, match="no model weights on disk"):
        find_weights("google/siglip-base-patch16-224")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc\n")
    assert find_weights("google/siglip-base-patch16-224") == snapshot


def test_the_cache_is_looked_for_where_the_hub_library_keeps_it(monkeypatch, tmp_path):
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    assert encoders._hub_cache() == tmp_path / "home" / "hub"
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert encoders._hub_cache() == tmp_path / "xdg" / "huggingface" / "hub"


def test_missing_weights_say_how_to_get_them_and_what_works_without():
    with pytest.raises(InputError, match=r"hf download google/siglip-base-patch16-224.*model=local"):
        get_encoder("SigLIP")


def test_a_tao_checkpoint_is_left_to_tao(tmp_path):
    with pytest.raises(InputError, match="only TAO data services can load"):
        get_encoder("siglip", model_path=str(tmp_path / "clip.pth"))


def test_an_unknown_model_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'SigLIP'"):
        get_encoder("SigLP")


def test_weights_without_transformers_say_what_to_install(tmp_path, monkeypatch):
    folder = put_model(tmp_path / "model")
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(InputError, match=r"needs torch and transformers.*\[siglip\]"):
        get_encoder("SigLIP", model_path=str(folder))
    monkeypatch.setattr(encoders.importlib.util, "find_spec", lambda name: None)
    assert not learned_encoder_ready("SigLIP", str(folder))


def test_a_model_is_ready_when_its_packages_and_weights_are_there(tmp_path, monkeypatch):
    monkeypatch.setattr(encoders.importlib.util, "find_spec", lambda name: object())
    assert not learned_encoder_ready("SigLIP")
    assert learned_encoder_ready("SigLIP", str(put_model(tmp_path / "model")))


def test_the_same_weights_elsewhere_are_the_same_version_and_other_weights_are_not(tmp_path):
    one, two = put_model(tmp_path / "one"), put_model(tmp_path / "two")
    assert encoders._weights_version(one) == encoders._weights_version(two)
    (two / "model.safetensors").write_bytes(b"other weights")
    assert encoders._weights_version(one) != encoders._weights_version(two)


def test_the_first_unreadable_file_is_the_one_that_is_named(tmp_path):
    good = tmp_path / "good.png"
    Image.new("L", (8, 8)).save(good)
    files = [good, tmp_path / "b.png", tmp_path / "a.png"]
    with pytest.raises(ImageError, match=r"b\.png"):
        get_encoder("local").encode(files)


def test_a_siglip_model_on_disk_embeds_images_without_a_network(tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.SiglipConfig(
        text_config={**small, "vocab_size": 64}, vision_config={**small, "image_size": 32, "patch_size": 16}
    )
    transformers.SiglipModel(config).save_pretrained(tmp_path / "model")
    processor = {"image_processor_type": "SiglipImageProcessor", "size": {"height": 32, "width": 32}}
    (tmp_path / "model" / "preprocessor_config.json").write_text(json.dumps(processor))
    files = []
    for i in range(5):
        files.append(tmp_path / f"{i}.png")
        noise = np.random.default_rng(i).integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(noise).save(files[-1])
    encoder = get_encoder("SigLIP", model_path=str(tmp_path / "model"), batch_size=2)
    vectors = encoder.encode(files)
    assert (vectors.shape, vectors.dtype) == ((5, encoder.dim), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-4
    assert encoder.encode([]).shape == (0, encoder.dim)
