"""The finding types: a closed set, since they become policy keys, metric labels and placeholders."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

DENIED: Final = "DENIED"

TYPES: Mapping[str, str] = MappingProxyType(
    {
        "EMAIL": "an e-mail address",
        "PHONE": "a telephone number, mobile, land-line or fax, with its extension",
        "CARD": "a payment card number that passes the Luhn check",
        "IBAN": "an international bank account number",
        "ACCOUNT": "another number or name of an account, a member, a policy or a patient, by its label",
        "IP_ADDRESS": "an IPv4 or IPv6 address",
        "MAC_ADDRESS": "a hardware address of a network interface",
        "US_SSN": "a US social security or individual taxpayer number",
        "RESIDENT_ID": "a Chinese resident identity number",
        "NATIONAL_ID": "another country's national identity, health or tax number",
        "PASSPORT": "a passport or travel permit number",
        "DRIVER_LICENCE": "a driving licence number",
        "CREDIT_CODE": "a Chinese unified social credit code",
        "PLATE": "a vehicle's number plate",
        "WECHAT": "a WeChat id",
        "QQ": "a QQ number",
        "ADDRESS": "a postal address down to the door",
        "CRYPTO_WALLET": "a Bitcoin wallet address",
        "SECRET": "a key, token or password",
        "HIGH_ENTROPY_KEY": "a random value behind a label for keys",
        "INTERNAL_HOST": "a host name of a private network",
        "PRIVATE_IP": "an address of a private, link-local or loopback network",
        "FILE_PATH": "an absolute path in a file system",
        "STACK_TRACE": "a line of a stack trace",
        "INTERNAL_RECORD": "a JSON object that has one of the operator's field names",
        "ADMIN_NOTE": "a note for staff",
        "PERSON": "a person's name",
        "ORGANIZATION": "an organisation's name",
        "LOCATION": "a place's name",
        "AGE": "somebody's age in years, months or weeks",
        "AMOUNT": "an amount of money",
        "COORDINATES": "a place on the map, to a hundredth of a degree or to the minute",
        "NUMBER": "another exact number: four digits or more, or decimals",
        "QUASI_IDENTIFIER": "a trait of a person that, with the others told, too few people share",
        "SPECIAL_HEALTH": "a person's health",
        "SPECIAL_RELIGION": "a person's religion or belief",
        "SPECIAL_POLITICS": "a person's political opinion",
        "SPECIAL_UNION": "a person's trade union membership",
        "SPECIAL_SEXUALITY": "a person's sex life, orientation or gender identity",
        "SPECIAL_ETHNICITY": "a person's racial or ethnic origin",
        "SPECIAL_BIOMETRIC": "a person's biometric or genetic data",
        "SPECIAL_FINANCE": "a person's accounts, income or debts",
        "SPECIAL_WHEREABOUTS": "where a person is or goes",
        "SPECIAL_CRIME": "a person's criminal record",
        "SPECIAL_CHILD": "a person under fourteen",
        "DATE": "a calendar date, or the day of an appointment",
        "WEB_ADDRESS": "the address of a web page or site",
        DENIED: "a value on the deny list",
    }
)

# The special categories of personal data.
SPECIAL = frozenset(kind for kind in TYPES if kind.startswith("SPECIAL_"))

# Found by filters/specificity, which reads what is said of persons, and not by the pattern detector.
OF_PERSONS = SPECIAL | {"QUASI_IDENTIFIER"}

# Found by filters/denied.py; a role can't be cleared for it.
OF_LISTS = frozenset({DENIED})

# Looked for where a profile says so: a name is in most sentences, and only the base model tells what everybody knows.
NAMES = frozenset({"PERSON", "ORGANIZATION", "LOCATION"})

# What is looked for where names are: it may say who somebody is, and mostly is anybody's.
ON_REQUEST = NAMES | {"DATE", "WEB_ADDRESS"}

# Looked for where a profile's actions or minimal scores name them: exact, and mostly nobody's.
QUANTITIES = frozenset({"DATE", "AGE", "AMOUNT", "COORDINATES", "NUMBER"})

# Types that name nobody for sure, whose detectors guess more. Every other type, also one that is new, is a direct
# identifier or a secret.
INDIRECT = ON_REQUEST | QUANTITIES | {"QUASI_IDENTIFIER"}
