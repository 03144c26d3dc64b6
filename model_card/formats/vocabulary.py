"""Words of other tools: licences, tasks and metrics as the Hugging Face Hub and SPDX name them.

Sources: https://spdx.org/licenses/, https://huggingface.co/docs/hub/repositories-licenses,
https://huggingface.co/tasks and https://huggingface.co/metrics.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, NamedTuple


def words(*lines: str) -> tuple[str, ...]:
    """The words of some lines: long lists of ids, readable.

    >>> words("a b", "c")
    ('a', 'b', 'c')
    """
    return tuple(word for line in lines for word in line.split())


#: SPDX licences that the Hub has another id for; it writes all others as SPDX, in lower case.
_RENAMED = {
    "AGPL-3.0-only": "agpl-3.0",
    "AGPL-3.0-or-later": "agpl-3.0",
    "C-UDA-1.0": "c-uda",
    "GFDL-1.3-only": "gfdl",
    "GFDL-1.3-or-later": "gfdl",
    "GPL-2.0-only": "gpl-2.0",
    "GPL-2.0-or-later": "gpl-2.0",
    "GPL-3.0-only": "gpl-3.0",
    "GPL-3.0-or-later": "gpl-3.0",
    "LGPL-2.1-only": "lgpl-2.1",
    "LGPL-2.1-or-later": "lgpl-2.1",
    "LGPL-3.0-only": "lgpl-3.0",
    "LGPL-3.0-or-later": "lgpl-3.0",
    "LGPLLR": "lgpl-lr",
    "ODC-By-1.0": "odc-by",
    "ODbL-1.0": "odbl",
    "PDDL-1.0": "pddl",
}
_SAME = words(
    "AFL-3.0 AGPL-3.0 Apache-2.0 Artistic-2.0 BSD-2-Clause BSD-3-Clause BSD-3-Clause-Clear BSL-1.0",
    "CC-BY-2.0 CC-BY-2.5 CC-BY-3.0 CC-BY-4.0 CC-BY-NC-2.0 CC-BY-NC-3.0 CC-BY-NC-4.0",
    "CC-BY-NC-ND-3.0 CC-BY-NC-ND-4.0 CC-BY-NC-SA-2.0 CC-BY-NC-SA-3.0 CC-BY-NC-SA-4.0 CC-BY-ND-4.0",
    "CC-BY-SA-3.0 CC-BY-SA-4.0 CC0-1.0 CDLA-Permissive-1.0 CDLA-Permissive-2.0 CDLA-Sharing-1.0",
    "ECL-2.0 EPL-1.0 EPL-2.0 EUPL-1.1 EUPL-1.2 GPL-2.0 GPL-3.0 ISC LGPL-2.1 LGPL-3.0 LPPL-1.3c MIT",
    "MPL-2.0 MS-PL NCSA OFL-1.1 OSL-3.0 PostgreSQL Unlicense WTFPL Zlib etalab-2.0",
)
#: SPDX licence id to the Hub's.
HUB_LICENCES = MappingProxyType(_RENAMED | {spdx: spdx.lower() for spdx in _SAME})
#: Licences that the Hub knows and SPDX does not.
_HUB_ONLY = frozenset(
    words(
        "apple-amlr apple-ascl bigcode-openrail-m bigscience-bloom-rail-1.0 bigscience-openrail-m",
        "bsd cc creativeml-openrail-m deepfloyd-if-license gemma gpl h-research intel-research",
        "lgpl llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 openrail openrail++",
    )
)
_SPDX_BY_NAME = MappingProxyType(
    {hub: spdx for spdx, hub in HUB_LICENCES.items() if spdx.lower() == hub}
    | {spdx.lower(): spdx for spdx in HUB_LICENCES}
)

#: Task ids of the Hub ("pipeline tags").
HUB_TASKS = frozenset(
    words(
        "any-to-any audio-classification audio-text-to-text audio-to-audio",
        "automatic-speech-recognition depth-estimation document-question-answering",
        "feature-extraction fill-mask graph-ml image-classification image-feature-extraction",
        "image-segmentation image-text-to-text image-to-3d image-to-image image-to-text",
        "image-to-video keypoint-detection mask-generation multiple-choice object-detection",
        "question-answering reinforcement-learning robotics sentence-similarity summarization",
        "table-question-answering table-to-text tabular-classification tabular-regression",
        "tabular-to-text text-classification text-generation text-ranking text-retrieval",
        "text-to-3d text-to-audio text-to-image text-to-speech text-to-video",
        "time-series-forecasting token-classification translation unconditional-image-generation",
        "video-classification video-text-to-text visual-document-retrieval",
        "visual-question-answering voice-activity-detection zero-shot-classification",
        "zero-shot-image-classification zero-shot-object-detection",
    )
)
#: What an evaluated task is called on the Hub where nobody declared one of its ids.
TASK_TYPES = MappingProxyType(
    {
        "binary": "tabular-classification",
        "multiclass": "tabular-classification",
        "multilabel": "tabular-classification",
        "regression": "tabular-regression",
        "ranking": "other",
        "genai": "text-generation",
    }
)


class HubMetric(NamedTuple):
    """A metric of the Hub and the arguments that make it ours."""

    type: str
    args: dict[str, Any] = {}


#: Metrics of this package that the Hub knows by another name; the others keep theirs.
_HUB_METRICS = MappingProxyType(
    {
        "f1_macro": HubMetric("f1", {"average": "macro"}),
        "f1_micro": HubMetric("f1", {"average": "micro"}),
        "matthews_corrcoef": HubMetric("matthews_correlation"),
        "precision_macro": HubMetric("precision", {"average": "macro"}),
        "r2": HubMetric("r_squared"),
        "recall_macro": HubMetric("recall", {"average": "macro"}),
    }
)


def spdx_licence(text: str) -> str | None:
    """The SPDX id that a text names, in SPDX's own spelling; None for any other text.

    >>> spdx_licence("apache-2.0"), spdx_licence("GPL-3.0-only"), spdx_licence("ours alone")
    ('Apache-2.0', 'GPL-3.0-only', None)
    """
    return _SPDX_BY_NAME.get(text.strip().lower())


def hub_licence(text: str) -> str | None:
    """The Hub's id of a licence; None where it has none.

    >>> hub_licence("Apache-2.0"), hub_licence("GPL-3.0-or-later"), hub_licence("ours alone")
    ('apache-2.0', 'gpl-3.0', None)
    """
    spdx = spdx_licence(text)
    if spdx is not None:
        return HUB_LICENCES[spdx]
    name = text.strip().lower()
    return name if name in _HUB_ONLY else None


def hub_task(text: str) -> str | None:
    """The Hub's id of a task that people wrote; None where it has none.

    >>> hub_task("Tabular classification"), hub_task("credit scoring")
    ('tabular-classification', None)
    """
    name = "-".join(text.lower().replace("_", " ").replace("-", " ").split())
    return name if name in HUB_TASKS else None


def hub_metric(metric: str) -> HubMetric:
    """A metric of this package as the Hub names it.

    >>> hub_metric("f1_macro")
    HubMetric(type='f1', args={'average': 'macro'})
    """
    return _HUB_METRICS.get(metric) or HubMetric(metric)
