"""What names and docs give away: content that the bus refuses, and persons' data."""

from __future__ import annotations

import re
from dataclasses import dataclass

_REFUSED_WORDS = """
    score scoring rank ranking credit_rating rating_of_person reputation blacklist redlist
    tag label profile profiling portrait persona
    face facial faceprint fingerprint palmprint palm_print iris retina voiceprint biometric gait dna
    trace track trajectory whereabouts movement_history geofence
    ballot vote_choice voted_for voter party_member party_membership party_branch political_status
    imsi imei msisdn iccid mac_address call_detail call_record cell_id base_station signalling
    signaling cdr
    state_secret work_secret secret secrecy secrecy_level classified core_data important_data
"""
_REFUSED_NAME = re.compile(rf"(^|_)({'|'.join(_REFUSED_WORDS.split())})(e?s)?(_|$)")

_REFUSED_TEXT = re.compile(
    r"评分|打分|信用分|积分|排名|标签|画像|黑名单|红名单|人脸|面部|指纹|掌纹|虹膜|声纹|步态|基因"
    r"|生物识别|轨迹|行踪|选票|投票选择|党员|党籍|政治面貌|国家秘密|工作秘密|密级|机密|绝密"
    r"|核心数据|重要数据|信令|基站|通话记录"
    r"|\b(credit scores?|social credit|risk scores?|scores? of (a |the )?(person|resident)s?"
    r"|profiles? of (a |the )?(person|resident)s?|ranking of (persons|residents)"
    r"|face recognition|facial|biometric|fingerprints?|voiceprints?|iris scan"
    r"|location trac(e|es|king)|whereabouts|ballots?|party member(ship)?"
    r"|state secrets?|work secrets?|core data|important data|call records?|base stations?)\b",
    re.IGNORECASE,
)
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True)
class Personal:
    """What a name or doc speaks of, and how a field that holds it is graded at least."""

    what: str
    grade: int
    categories: tuple[str, ...]
    name: re.Pattern[str]
    text: re.Pattern[str]


def _personal(what: str, grade: int, categories: str, name: str, text: str) -> Personal:
    whole = re.compile(rf"(^|_)({name})s?(_|$)")
    return Personal(what, grade, tuple(categories.split()), whole, re.compile(text, re.IGNORECASE))


_WHO = (
    "person|caller|applicant|proposer|reporter|resident|owner|party|parties|contact|victim|patient"
    "|student|child|parent|guardian|tenant|landlord|householder|witness|full|first|last|family"
    "|given|sur"
)
PERSONAL = (
    _personal(
        "an identity number", 4, "SPI",
        "id_no|id_number|id_card|idcard|identity|identity_no|identity_number|identity_card"
        "|passport|passport_no|social_security_no",
        r"identity (card |)numbers?|passport numbers?|身份证|证件号|护照号",
    ),
    _personal(
        "a bank card or account", 4, "SPI",
        "bank_card|bankcard|card_no|card_number|bank_account|account_no|account_number|iban",
        r"bank (card|account)|银行卡|银行账号",
    ),
    _personal(
        "health, belief or origin", 4, "SPI",
        "diagnosis|disease|illness|disability|disability_grade|medical_record|health_status"
        "|religion|ethnicity|pregnancy|criminal_record",
        r"diagnosis|medical record|religio|疾病|病史|病历|残疾|宗教|民族|犯罪记录",
    ),
    _personal(
        "a phone or another address to reach a person", 3, "PI SPI",
        "phone|phone_no|mobile|tel|telephone|cellphone|email|e_mail|wechat|wechat_id|qq|weixin",
        r"phone numbers?|mobile numbers?|e-?mail address|手机号|电话号码|联系电话|联系方式|微信号",
    ),
    _personal(
        "a licence plate", 3, "PI SPI",
        "plate|plate_no|plate_number|licence_plate|license_plate|vehicle_no",
        r"licen[cs]e plate|number plate|车牌",
    ),
    _personal(
        "a birthday or an exact age", 3, "PI SPI",
        "birth|birthday|birthdate|birth_date|date_of_birth|dob|age(?!_band)",
        r"date of birth|birthday|出生日期|出生年月|生日",
    ),
    _personal(
        "an address or an exact place", 3, "PI SPI PLACE",
        "address|addr|residence|domicile|door_no|house_no|room_no|latlon|lat|lon|lng|latitude"
        "|longitude|gps|coordinates|geolocation|ip_address",
        r"home address|exact place|门牌|住址|家庭地址|经纬度",
    ),
    _personal(
        "a person's name", 3, "PI SPI",
        rf"({_WHO})_?name|name_of_({_WHO})|surname|nickname",
        r"name of (a |the )?(person|caller|applicant|resident|reporter|proposer)|姓名",
    ),
)  # fmt: skip
_BARE_NAME = re.compile(r"name")
NAME_OF_PERSON = PERSONAL[-1]


def snake(name: str) -> str:
    """`callerPhone` -> `caller_phone`."""
    return _CAPITAL.sub("_", name).lower()


def refused_in_name(name: str) -> bool:
    return bool(_REFUSED_NAME.search(snake(name)) or _REFUSED_TEXT.search(name))


def refused_in_text(text: str) -> bool:
    return _REFUSED_TEXT.search(text) is not None


def personal_in_name(name: str) -> Personal | None:
    """Return what a field's name says it holds, the gravest first; None if nothing personal."""
    plain = snake(name)
    if _BARE_NAME.fullmatch(plain):
        return NAME_OF_PERSON
    return next(
        (each for each in PERSONAL if each.name.search(plain) or each.text.search(name)), None
    )


def personal_in_text(text: str) -> Personal | None:
    return next((each for each in PERSONAL if each.text.search(text)), None)
