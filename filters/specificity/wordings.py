"""What may be said instead of a trait: the wording of each prefix of its path, in English and Chinese.

Ages and years are worded by pii/generalise.py, groups of jobs and the like by the tables, places by their names. The
empty path, which says nothing, has a fixed wording for each kind. No text is cut out of what was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from filters.pii.generalise import generalise
from filters.specificity.crowd_tables import DATES, Crowds, Kind, Trait

Said = tuple[str, str]  # English, Chinese

NOTHING: Mapping[Kind, Said] = MappingProxyType(
    {
        Kind.AGE: ("of a certain age", "某个年龄"),
        Kind.GENDER: ("a person", "人"),
        Kind.PLACE: ("a certain place", "某地"),
        Kind.EMPLOYER: ("a company", "某公司"),
        Kind.JOB: ("someone with a job", "某种职业"),
        Kind.ILLNESS: ("a personal matter", "个人情况"),
        Kind.ETHNICITY: ("of a certain background", "某种族裔"),
        Kind.EDUCATION: ("an education", "某种学历"),
        Kind.SCHOOL: ("a school", "某学校"),
        Kind.BIRTH: ("a certain time", "某个时间"),
        Kind.WEDDING: ("a certain time", "某个时间"),
        Kind.JOINING: ("a certain time", "某个时间"),
        Kind.CHILDREN: ("a family", "家人"),
        Kind.MARITAL: ("of a certain marital status", "某种婚姻状况"),
    }
)
_BIRTH = ("born", "出生")  # what makes generalise.py say no more than the decade
_BIRTH_DECADE_LENGTH, _YEAR_LENGTH = 1, 2


def wording(crowds: Crowds, trait: Trait) -> Said | None:
    """How this trait is said in general, or None where there is no wording for just that."""
    if not trait.path:
        return NOTHING[trait.kind]
    if trait.kind is Kind.AGE:
        return _by_rule("AGE", trait.path[0].partition("-")[0].rstrip("+")) if len(trait.path) == 1 else None
    if trait.kind in DATES:
        return _date(trait)
    if trait.kind is Kind.PLACE:
        return crowds.place_names(trait.path)
    group = crowds.group(trait.kind, trait.path[-1]) if len(trait.path) == 1 else None
    return (group.en, group.zh) if group else None


def _date(trait: Trait) -> Said | None:
    if trait.path[0] == "--":
        return None
    if len(trait.path) == _YEAR_LENGTH:
        return _by_rule("DATE", trait.path[1])
    return _by_rule("DATE", f"{trait.path[0]}0", *_BIRTH) if len(trait.path) == _BIRTH_DECADE_LENGTH else None


def _by_rule(kind: str, value: str, english_context: str = "", chinese_context: str = "") -> Said | None:
    english = generalise(kind, value, english_context, chinese=False)
    chinese = generalise(kind, value, chinese_context, chinese=True)
    return (english, chinese) if english and chinese else None
