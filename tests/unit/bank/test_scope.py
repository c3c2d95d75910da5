"""What a person wants, told from their words: what is not done here is said, and nothing that is done is refused."""

from __future__ import annotations

import pytest

from tao_skill_bank.bank.scope import named_in


@pytest.mark.parametrize(
    "wish",
    [
        "use DINO v3 as the encoder of my ChangeNet",
        "retrain with a DINOv3 backbone",
        "a DINO-v2 embedding for mining",
        "a better defect detector for solder joints",
        "my anomaly detection model misses bridges",
        "solder mask defects are missed",
        "parts are compared with their golden; the detector flags too many",
        "my VLM poses wrong answers on masks questions",
        "yes/no questions about bounding boxes",
        "Qwen answers about license plates",
        "a grounding pad that is missing is not found",
        "the key point is fewer false calls",
    ],
)
def test_what_is_done_here_is_not_taken_for_another_kind_of_model(wish: str) -> None:
    assert named_in(wish) is None


@pytest.mark.parametrize(
    ("wish", "kind"),
    [
        ("improve my object detector", "object detection"),
        ("fine-tune Grounding DINO", "object detection"),
        ("train DINO on my boxes", "object detection"),
        ("D-FINE on COCO", "object detection"),
        ("SegFormer for lanes", "segmentation"),
        ("instance masks of screws", "segmentation"),
        ("human pose", "pose estimation"),
        ("hand keypoints", "pose estimation"),
        ("OCR of serial numbers", "reading of text"),
        ("classify parts without a golden", "classification without a golden"),
        ("parts without goldens", "classification without a golden"),
        ("fine-tune llama", "training of language models"),
    ],
)
def test_another_kind_of_model_is_named(wish: str, kind: str) -> None:
    found = named_in(wish)
    assert found is not None and found.name == kind
