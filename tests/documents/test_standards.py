"""Each document against the schema or the parser of its own standard."""

from __future__ import annotations

import copy
import gzip
import json
import warnings
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
import rdflib
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from rdflib.namespace import DCAT, DCTERMS, RDF

from maplebridge.documents.asyncapi import asyncapi
from maplebridge.documents.city import City, access_right
from maplebridge.documents.dcat import dcat
from maplebridge.documents.odcs import odcs
from maplebridge.schemas import load_catalogue
from tests.frame.repository import ROOT

CONTRACTS = {each.event_type: each for each in load_catalogue().everything}
DPV = rdflib.Namespace("https://w3id.org/dpv#")


def validator(schema: dict[str, Any]) -> Validator:
    made: Validator = validator_for(schema)(schema)
    return made


def faults(schema: dict[str, Any], document: dict[str, Any]) -> list[str]:
    return [f"{each.json_path}: {each.message}" for each in validator(schema).iter_errors(document)]


@pytest.fixture(scope="module")
def asyncapi_schema() -> dict[str, Any]:
    path = ROOT / "tests" / "vendored" / "asyncapi-specs" / "3.0.0.json.gz"
    schema: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    return schema


@pytest.fixture(scope="module")
def odcs_schema() -> dict[str, Any]:
    path = files("open_data_contract_standard").joinpath("schema.json")
    schema: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return schema


@pytest.fixture(scope="module")
def graph(told: City) -> rdflib.Graph:
    with warnings.catch_warnings():
        # rdflib's own parser uses what rdflib deprecates
        warnings.simplefilter("ignore", DeprecationWarning)
        return rdflib.Graph().parse(data=json.dumps(dcat(told)), format="json-ld")


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def test_asyncapi_fits_its_schema_and_every_reference_leads_somewhere(
    told: City, asyncapi_schema: dict[str, Any]
) -> None:
    document = asyncapi(told, version="1")
    assert faults(asyncapi_schema, document) == []
    for reference in references(document):
        found: Any = document
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]
        assert found


def test_asyncapi_that_is_spoilt_does_not_fit(told: City, asyncapi_schema: dict[str, Any]) -> None:
    for spoil in ("info", "asyncapi"):
        document = copy.deepcopy(asyncapi(told, version="1"))
        del document[spoil]
        assert faults(asyncapi_schema, document)
    document = copy.deepcopy(asyncapi(told, version="1"))
    document["operations"]["hotline.send.hotline.order"]["action"] = "publish"
    assert faults(asyncapi_schema, document)


def test_asyncapi_tells_every_topic_sender_and_app(told: City) -> None:
    document = asyncapi(told, version="1")
    for contract in CONTRACTS.values():
        assert {*contract.topics, contract.core_topic} <= document["channels"].keys()
        for publisher in contract.publishers:
            operation = document["operations"][f"{publisher}.send.{contract.event_type}"]
            assert operation["action"] == "send"
            assert operation["channel"]["$ref"].endswith(contract.topic_of(publisher))
    for app in told.apps:
        assert document["operations"][f"{app}.receive"]["action"] == "receive"


@pytest.mark.parametrize("event_type", CONTRACTS)
def test_a_data_contract_fits_the_standard(
    told: City, odcs_schema: dict[str, Any], event_type: str
) -> None:
    document = odcs(CONTRACTS[event_type], told)
    assert document["apiVersion"] in odcs_schema["properties"]["apiVersion"]["enum"]
    assert faults(odcs_schema, document) == []
    document["schema"][0]["properties"][0]["classified"] = "L9"
    assert faults(odcs_schema, document)


def classified(properties: list[dict[str, Any]], prefix: str = "") -> Iterator[tuple[str, str]]:
    for each in properties:
        path = prefix + each["name"]
        items = each.get("items", {})
        if "classification" in each:
            yield path + ("[]" if items else ""), each["classification"]
        yield from classified(each.get("properties", []), f"{path}.")
        yield from classified(items.get("properties", []), f"{path}[].")


@pytest.mark.parametrize("event_type", CONTRACTS)
def test_a_data_contract_classifies_every_field_as_it_is_graded(
    told: City, event_type: str
) -> None:
    contract = CONTRACTS[event_type]
    document = odcs(contract, told)
    told_grades = dict(classified(document["schema"][0]["properties"]))
    assert told_grades == {spec.path: f"L{spec.grade}" for spec in contract.fields}


def test_dcat_has_a_dataset_for_each_contract_with_what_the_vocabulary_asks_for(
    told: City, graph: rdflib.Graph
) -> None:
    (catalogue,) = graph.subjects(RDF.type, DCAT.Catalog)
    datasets = set(graph.subjects(RDF.type, DCAT.Dataset))
    assert set(graph.objects(catalogue, DCAT.dataset)) == datasets
    found = {str(graph.value(each, DCTERMS.identifier)): each for each in datasets}
    assert found.keys() == CONTRACTS.keys()
    for event_type, dataset in found.items():
        for needed in (DCTERMS.title, DCTERMS.description, DCTERMS.publisher, DCAT.distribution):
            assert graph.value(dataset, needed, any=True) is not None, (event_type, needed)
        right = str(graph.value(dataset, DCTERMS.accessRights))
        assert right.endswith(f"/{access_right(CONTRACTS[event_type])}")
    for distribution in graph.objects(None, DCAT.distribution):
        assert graph.value(distribution, DCAT.accessURL) is not None
    for service in graph.subjects(RDF.type, DCAT.DataService):
        assert graph.value(service, DCAT.endpointURL) is not None
        assert set(graph.objects(service, DCAT.servesDataset)) == datasets


def test_dcat_names_whom_it_refers_to(graph: rdflib.Graph) -> None:
    own = {each for each in graph.objects() if str(each).startswith("urn:maplebridge:")}
    versions = set(graph.objects(None, DCTERMS.conformsTo))
    assert own - versions <= set(graph.subjects())


def test_dcat_gives_purposes_as_terms_of_dpv(graph: rdflib.Graph) -> None:
    mediation = rdflib.URIRef("urn:maplebridge:contract:mediation.case")
    purposes = {str(each) for each in graph.objects(mediation, DPV.hasPurpose)}
    assert f"{DPV}DisputeManagement" in purposes
    bases = {str(each) for each in graph.objects(mediation, DPV.hasLegalBasis)}
    assert f"{DPV}OfficialAuthorityOfController" in bases
