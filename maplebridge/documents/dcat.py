"""The catalogue as DCAT 3 in JSON-LD, purposes and legal bases as terms of DPV 2."""

from __future__ import annotations

from typing import Any

from maplebridge.documents.city import City, access_right, strictest_grade
from maplebridge.schemas import Contract

CONTEXT = {
    "dcat": "http://www.w3.org/ns/dcat#",
    "dct": "http://purl.org/dc/terms/",
    "dpv": "https://w3id.org/dpv#",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "prov": "http://www.w3.org/ns/prov#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
"""Whole, so that nobody has to fetch one to read the document."""
RIGHTS = "http://publications.europa.eu/resource/authority/access-right/"
AVRO = "https://www.iana.org/assignments/media-types/application/vnd.apache.avro.binary"
BASE = "urn:maplebridge:"
REGISTRY_URL = "http://127.0.0.1:8081/apis/ccompat/v7"
AGENT_URL = "http://127.0.0.1:8090/v1"


def dcat(city: City) -> dict[str, Any]:
    """Return the catalogue: a dataset for each contract, services for registry and agent."""
    datasets = [_dataset(each, city) for each in city.contracts]
    services = _services(datasets)
    catalogue = {
        "@id": f"{BASE}catalogue",
        "@type": "dcat:Catalog",
        "dct:title": {"@value": "Maple Bridge", "@language": "en"},
        "dct:description": {
            "@value": "Events of a city's departments, each under a graded contract.",
            "@language": "en",
        },
        "dct:publisher": _id(f"{BASE}department:city"),
        "dcat:dataset": [_id(each["@id"]) for each in datasets],
        "dcat:service": [_id(each["@id"]) for each in services],
    }
    departments = sorted({"city", *(each.department for each in city.contracts)})
    agents = [
        {"@id": f"{BASE}department:{each}", "@type": "foaf:Agent", "foaf:name": each}
        for each in departments
    ]
    distributions = [each for contract in city.contracts for each in _distributions(contract)]
    return {
        "@context": CONTEXT,
        "@graph": [catalogue, *datasets, *distributions, *services, *agents],
    }


def _dataset(contract: Contract, city: City) -> dict[str, Any]:
    followers = city.followers.get(contract.event_type, ())
    purposes = sorted({each.purpose for each in followers})
    bases = sorted({city.consumers.consumers[each.app].legal_basis for each in followers})
    return {
        "@id": _dataset_id(contract),
        "@type": "dcat:Dataset",
        "dct:identifier": contract.event_type,
        "dct:title": {"@value": contract.event_type, "@language": "en"},
        "dct:description": {"@value": contract.schema["doc"], "@language": "en"},
        "dct:publisher": _id(f"{BASE}department:{contract.department}"),
        "dct:accessRights": _id(RIGHTS + access_right(contract)),
        "dcat:keyword": [
            {"@value": word, "@language": "en"}
            for word in (contract.department, contract.unit, f"L{strictest_grade(contract)}")
        ],
        "dcat:version": f"{contract.version}.0.0",
        "dcat:distribution": [_id(each["@id"]) for each in _distributions(contract)],
        "dpv:hasPurpose": _dpv(city, "purpose", purposes),
        "dpv:hasLegalBasis": _dpv(city, "legal_basis", bases),
    }


def _dpv(city: City, name: str, codes: list[str]) -> list[dict[str, str]]:
    """Return the DPV terms that a code list gives for its codes."""
    texts = city.codes.get(name).codes
    terms = [word.strip(",") for code in codes for word in texts[code].split()]
    return [_id(each) for each in terms if each.startswith("dpv:")]


def _distributions(contract: Contract) -> list[dict[str, Any]]:
    return [
        {
            "@id": f"{BASE}topic:{topic}",
            "@type": "dcat:Distribution",
            "dct:title": {"@value": f"Kafka topic {topic}", "@language": "en"},
            "dcat:accessURL": _id("kafka://127.0.0.1:9092"),
            "dcat:mediaType": _id(AVRO),
            "dct:conformsTo": _id(f"{BASE}contract:{contract.ce_type}:{contract.fingerprint}"),
        }
        for topic in contract.topics
    ]


def _services(datasets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    told = (
        ("registry", "Schema registry", REGISTRY_URL, "Every registered version of each contract"),
        ("agent", "Department's agent", AGENT_URL, "Takes events on the department's own machine"),
    )
    return [
        {
            "@id": f"{BASE}service:{name}",
            "@type": "dcat:DataService",
            "dct:title": {"@value": title, "@language": "en"},
            "dct:description": {"@value": doc, "@language": "en"},
            "dcat:endpointURL": _id(url),
            "dcat:servesDataset": [_id(each["@id"]) for each in datasets],
        }
        for name, title, url, doc in told
    ]


def _dataset_id(contract: Contract) -> str:
    return f"{BASE}contract:{contract.event_type}"


def _id(iri: str) -> dict[str, str]:
    return {"@id": iri}
