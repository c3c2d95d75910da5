"""Which skill a sentence finds by words alone: a floor under what a model does; and the page of what agents see.

The ranker is deterministic and knows nothing but names and descriptions: terms weighted by how rare they are among the
skills. `pytest -s` prints every sentence with its best two.
"""

from __future__ import annotations

import math
import re
from collections import Counter

from what_agents_see import PAGE, page

from tao_skill_bank.bank.skills import load_skill, skill_folders

NONE = "none"
_LITTLE = "a an and are as at be by do for from how i in is it me my of on or our so that the then this to we what with"
_STOP = frozenset(re.findall("[a-z]+", _LITTLE))
SKILLS = [load_skill(folder) for folder in skill_folders()]
LOOP, TRAIN, GAPS = "tao-run-deft-aoi", "tao-train-visual-changenet", "tao-analyze-gaps-visual-changenet"
VLM, MINE, ROUTE = "tao-analyze-gaps-vlm-bcq", "tao-mine-aoi-images", "tao-route-visual-changenet-samples"
ANNOTATE, SERVE, GENERATE = "tao-generate-video-reasoning-annotations", "tao-run-inference-service", "paidf-anomalygen"
SENTENCES = {
    "run the deft loop on this workspace": LOOP,
    "improve our AOI inspection model until the FAR target is met": LOOP,
    "bring FAR below one percent at recall 99": LOOP,
    "evaluate, mine, merge and retrain for three iterations": LOOP,
    "start the improvement loop with a FAR target of 0.5%": LOOP,
    "run three deft iterations on our boards": LOOP,
    "train a visual changenet model once": TRAIN,
    "run one inference with this changenet checkpoint": TRAIN,
    "train changenet with a smaller learning rate": TRAIN,
    "evaluate my changenet checkpoint on this spec": TRAIN,
    "export a visual changenet checkpoint": TRAIN,
    "analyse the gaps of my visual changenet inference": GAPS,
    "write a root cause analysis report of this experiment": GAPS,
    "which samples are misclassified, and why: an RCA please": GAPS,
    "why does the classifier miss these defects, root cause": GAPS,
    "gap analysis of inference.csv with siamese scores": GAPS,
    "weakest samples of each label in the inference": GAPS,
    "where does my VLM fail on yes/no questions": VLM,
    "false positives of my vision-language model on binary questions": VLM,
    "gap analysis of a yes/no evaluation of videos": VLM,
    "here are my VLM's predictions, find false negatives": VLM,
    "mine pool images that look like these weak samples": MINE,
    "find nearest neighbours of the targets in the pool by embedding": MINE,
    "mine look-alikes from an image pool": MINE,
    "embed the pool and search for similar images": MINE,
    "route the weak samples to mining or to a generator": ROUTE,
    "which weak labels go to the generator, routing please": ROUTE,
    "route kpi_gaps.parquet": ROUTE,
    "generate question answer data from these traffic videos": ANNOTATE,
    "annotate warehouse videos with captions and reasoning": ANNOTATE,
    "make training data with reasoning out of raw videos": ANNOTATE,
    "caption these videos and write questions": ANNOTATE,
    "serve a vision-language model on my GPU with vLLM": SERVE,
    "start a local vLLM endpoint": SERVE,
    "I need an OpenAI-compatible inference service here": SERVE,
    "stop the served model": SERVE,
    "generate synthetic defects with anomalygen": GENERATE,
    "make synthetic NG images of solder bridges": GENERATE,
    "fine-tuned anomaly generation on clean boards": GENERATE,
    "use the PAIDF generator": GENERATE,
    "detect cars in these pictures": NONE,
    "segment the road in a drone image": NONE,
    "estimate human pose": NONE,
    "write me a poem about rain": NONE,
    "book a flight to Berlin": NONE,
    "translate this letter into French": NONE,
    "read the text of a license plate": NONE,
    "what is the weather tomorrow": NONE,
    "sort my e-mails by sender": NONE,
    "compress this archive": NONE,
    "transcribe the podcast": NONE,
    "clean up my calendar": NONE,
    "summarise the meeting notes": NONE,
    "find a recipe for soup": NONE,
    "plot the stock price of last year": NONE,
    "refactor this JavaScript function": NONE,
    "deploy the web shop": NONE,
    "draw a logo": NONE,
    "convert kilometres to miles": NONE,
    "play some music": NONE,
}
FLOOR = 56


def _terms(text: str) -> list[str]:
    words = re.findall(r"[a-z]+", text.lower())
    return [re.sub(r"(ing|ed|es|s|e)$", "", word) for word in words if word not in _STOP]


def best(sentence: str, texts: dict[str, Counter[str]]) -> list[tuple[float, str]]:
    """Skills by how much of the sentence they speak of, rare words counting more; the best two."""
    seen = Counter(term for counts in texts.values() for term in counts)
    asked = set(_terms(sentence))
    scores = []
    for name, counts in texts.items():
        score = sum(math.log(1 + len(texts) / seen[term]) for term in asked if term in counts)
        scores.append((score / math.sqrt(len(asked) or 1), name))
    return sorted(scores, reverse=True)[:2]


def test_sixty_sentences_find_their_skill_by_words_alone() -> None:
    texts = {skill.name: Counter(_terms(f"{skill.name} {skill.description.split(' Not for')[0]}")) for skill in SKILLS}
    assert set(SENTENCES.values()) - {NONE} <= set(texts)
    right = 0
    for sentence, wanted in SENTENCES.items():
        first, second = best(sentence, texts)
        found = first[1] if first[0] >= 1.15 else NONE
        right += found == wanted
        print(f"{'ok ' if found == wanted else 'NO '} {sentence!r}: {found} ({first[0]:.2f}), then {second[1]}")
    assert len(SENTENCES) == 60
    assert right >= FLOOR, f"{right} of 60"


def test_descriptions_together_stay_short() -> None:
    assert sum(len(skill.description) for skill in SKILLS) <= 4000


def test_the_page_of_what_agents_see_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew: python scripts/what_agents_see.py"
