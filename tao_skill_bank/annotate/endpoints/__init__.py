"""Model endpoints: Gemini, and any OpenAI-compatible server, behind one small protocol."""

from __future__ import annotations

from tao_skill_bank.annotate.config import AnnotationConfig, ModelOptions
from tao_skill_bank.annotate.endpoints.endpoint import Endpoint
from tao_skill_bank.annotate.secrets import PRIVATE_VARIABLES, Redactor
from tao_skill_bank.core.errors import InputError


def open_endpoints(config: AnnotationConfig) -> tuple[Endpoint, Endpoint, Redactor]:
    """The endpoints of `vlm` and `llm`, and what strikes their keys out of messages.

    Raises:
        InputError: A vendor's own endpoint without a key.
    """
    secrets = {name: getattr(config, name).secret(variable) for name, variable in PRIVATE_VARIABLES.items()}
    redact = Redactor(secrets.values())
    return (
        _open("vlm", config.vlm, secrets["vlm"], redact),
        _open("llm", config.llm, secrets["llm"], redact),
        redact,
    )


def open_judge(config: AnnotationConfig) -> Endpoint:
    """The endpoint of judged checks, with the key of the model whose settings it shares.

    Raises:
        InputError: A vendor's own endpoint without a key.
    """
    like = config.quality.judge.like
    secret = config.judge.secret(PRIVATE_VARIABLES[like])
    return _open("quality.judge", config.judge, secret, Redactor([secret]))


def _open(name: str, options: ModelOptions, secret: str, redact: Redactor) -> Endpoint:
    if options.backend == "openai":
        from tao_skill_bank.annotate.endpoints.openai import OpenAIEndpoint

        if not secret and not options.openai.base_url:
            raise _no_key(name, "OPENAI_API_KEY")
        return OpenAIEndpoint(options.openai, secret, redact, options.tuning)
    from tao_skill_bank.annotate.endpoints.gemini import GeminiEndpoint

    if not secret:
        raise _no_key(name, "GOOGLE_API_KEY")
    return GeminiEndpoint(options.gemini, secret, redact, options.tuning)


def _no_key(name: str, variable: str) -> InputError:
    return InputError(
        f"no key for {name}", where=f"video_reasoning_annotation.{name}", fix=f"set {variable} in the environment"
    )
