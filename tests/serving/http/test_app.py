"""The endpoints: what they answer, and that every mistake is one message in one form."""

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from http_items import new_item, png_of
from peftrec.serving.http.app import Service, build_app
from peftrec.serving.recommending import recommend
from recommend_requests import read_request

NUM_ITEMS = 39  # of the catalogue: one stands in no history
Ask = Callable[..., TestClient]


def problem(client: TestClient, path: str, body: Any, status: int) -> str:
    response = client.post(path, content=json.dumps(body), headers={"content-type": "application/json"})
    assert response.status_code == status, response.text
    assert set(response.json()) == {"error"}
    return str(response.json()["error"])


@pytest.mark.usefixtures("answers_from_restored")
def test_many_clients_get_what_the_verb_says(ask: Ask, train: Callable[..., Path]) -> None:
    client = ask("full", wait_ms="5")
    users = [f"u{number}" for number in range(16)] * 2

    def post(user: str) -> list[tuple[str, float]]:
        answer = client.post("/recommend", json={"user": user, "k": 5}).json()
        return [(each["item"], each["score"]) for each in answer["recommendations"]]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, users))
    for user in ("u0", "u7"):
        expected = recommend(read_request([f"run={train('full')}", f"user={user}", "k=5"]), None).recommendations
        assert answers[users.index(user)] == [(each.item, each.score) for each in expected]
    assert answers[:16] == answers[16:]
    samples = metrics_of(client)
    assert samples["peftrec_requests_total", ("recommend", "200")] == 32
    assert samples["peftrec_request_seconds_count", ("recommend",)] == 32
    assert samples["peftrec_batch_size_sum", ()] == 32
    assert samples["peftrec_batch_size_count", ()] <= 32


def metrics_of(client: TestClient) -> dict[tuple[str, tuple[str, ...]], float]:
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def test_items_are_encoded_and_added(ask: Ask) -> None:
    client = ask("full", "id")
    health = client.get("/health").json()
    names = [run["run"] for run in health["runs"]]
    assert health["status"] == "ok"
    assert [(run["num_items"], run["num_added"], run["reads"]) for run in health["runs"]] == [
        (NUM_ITEMS, 0, ["title", "image"]),
        (NUM_ITEMS, 0, []),
    ]
    assert "run: it is left out" in problem(client, "/recommend", {"user": "u1"}, 422)
    items = [new_item("n1"), new_item("n2", colour=2)]
    encoded = client.post("/encode", json={"run": names[0], "items": items}).json()
    assert [len(item["vector"]) for item in encoded["items"]] == [8, 8]
    response = client.post("/items", json={"run": names[0], "items": items})
    assert (response.status_code, response.json()) == (201, {"run": names[0], "added": 2, "num_items": NUM_ITEMS + 2})
    for name, number in zip(names, (2, 0), strict=True):
        answer = client.post("/recommend", json={"run": name, "items": ["m1"], "k": NUM_ITEMS - 1}).json()
        listed = client.post("/recommend", json={"run": name, "items": ["m1"], "k": NUM_ITEMS - 1 + number}).json()
        assert sum(each["is_new"] for each in listed["recommendations"]) == number
        assert answer["recommendations"] == listed["recommendations"][: NUM_ITEMS - 1]
    assert metrics_of(client)["peftrec_items", (names[0],)] == NUM_ITEMS + 2


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"user": "u33"}, 404, "user: there is no user 'u33' among the 16 of "),
        ({"items": ["m1", "m400"]}, 404, "items: there is no item 'm400' among the 39 of "),
        ({"user": "user3"}, 404, "; the nearest is u3"),
        ({"items": ["item3"]}, 404, "; the nearest is m3"),
        ({"user": "u1", "run": "other"}, 404, "run: there is no 'other'; this service has full-"),
        ({"user": "u1", "k": 500}, 422, "k=500: only "),
        ({"user": "u1", "k": 5000}, 422, "k: 5,000, and this service allows 1,000 (max_k=1000); lower k"),
        ({"items": ["m1"] * 1001}, 422, "items: 1,001, and this service allows 1,000 (max_history=1000)"),
        ({"items": []}, 422, "items: expected a list of at least 1 item, not 0"),
        ({}, 422, "give one of user and items"),
        ({"user": "u1", "items": ["m1"]}, 422, "give one of user and items"),
        ({"user": "u1", "k": "5"}, 422, "k: expected a valid integer"),
        ({"user": "u1", "k": 0}, 422, "k: expected a value greater than or equal to 1"),
        ({"user": "u1", "kk": 1, "\x1b[31m": 2}, 422, "kk: no such key; did you mean k?; \\u001b[31m: no such key"),
        ({"user": "u1", "title": 1}, 422, "title: no such key"),
        ([], 422, "the body is no JSON object; send one"),
    ],
)
def test_a_mistake_is_one_message(body: Any, status: int, message: str, small: TestClient) -> None:
    assert message in problem(small, "/recommend", body, status)


@pytest.fixture(scope="module")
def small(train: Callable[..., Path]) -> Iterator[TestClient]:
    """One service for many mistakes, with small limits."""
    from peftrec.serving.http.request import ServeRequest
    from peftrec.serving.http.serving import loaded_service

    own = {"max_items": "3", "max_image_pixels": "10000", "max_body_mib": "1"}
    service = loaded_service(ServeRequest.of([train("full")], own, ()))
    with TestClient(build_app(service), base_url="http://127.0.0.1") as client:
        yield client


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "items: "),
        ([{**new_item("n1"), "titel": "x"}], "items.0.titel: no such key; did you mean title?"),
        ([{**new_item("n1"), "description": "x"}], 'stands in "texts", by its name: "texts": {NAME: TEXT}'),
        ([new_item("n1")] * 4, "items: 4, and this service allows 3 (max_items=3)"),
        ([new_item("n1"), new_item("n1")], "items.1.id: 'n1' stands twice"),
        ([new_item("m3")], "items.0.id: 'm3' is in the catalogue already"),
        ([new_item(" ")], "items.0.id: it is empty"),
        ([new_item("\ud800")], "items.0.id: expected a valid string"),
        ([new_item("n1"), new_item("n\x1b[31m")], r"items.1.id: 'n\x1b[31m' holds control characters"),
        ([new_item("n\n1")], r"items.0.id: 'n\n1' holds control characters"),
        ([new_item("n\u202e1")], r"items.0.id: 'n\u202e1' holds control characters, or some that nobody sees"),
        ([new_item("n1", "red \udfff")], "items.0.title: it holds half a character"),
        ([new_item("x" * 257)], "items.0.id: 257 characters; at most 256"),
        ([new_item("n1", "&nbsp; ")], "items.0.title: the run reads titles"),
        ([new_item("n1", title=None)], "items.0.title: the run reads titles"),
        ([new_item("n1", "x" * 10_001)], "items.0.title: 10,001 characters"),
        ([new_item("n1"), new_item("n2", image=None)], "items.1.image: the run reads images, and this one is missing"),
        ([new_item("n1", image="§")], "items.0.image: this is no base64"),
        ([new_item("n1", image="data:image/png;base64,AAAA")], "items.0.image: this is a data: URL; send what stands"),
        ([new_item("n1", image="AA\nAA\r\n")], "items.0.image: 3 bytes that are no JPEG, PNG"),
        ([new_item("n1", image="AAAA")], "items.0.image: 3 bytes that are no JPEG, PNG"),
        ([new_item("n1", image=png_of(50_000, 40_000))], "items.0.image: 50,000 x 40,000 pixels, of which nothing"),
    ],
)
@pytest.mark.parametrize("path", ["/items"])
def test_faulty_items_are_one_message_and_nothing_is_added(
    items: list[dict[str, Any]], message: str, path: str, small: TestClient
) -> None:
    assert message in problem(small, path, {"items": items}, 422)
    assert small.get("/health").json()["runs"][0]["num_added"] == 0


def test_too_large_a_request_is_refused_before_it_is_read(small: TestClient) -> None:
    message = "larger than the 1,048,576 bytes that this service allows (max_body_mib=1)"
    assert message in problem(small, "/encode", {"items": [new_item("n1", image="A" * 2**20)]}, 413)
    pieces = (b'{"user": "' + b"u" * 2**19 for _ in range(4))
    response = small.post("/recommend", content=pieces, headers={"content-type": "application/json"})  # no length said
    assert response.status_code == 413
    assert message in response.json()["error"]
    assert metrics_of(small)["peftrec_errors_total", ("recommend", "413")] >= 1


def test_what_is_no_json_of_ours_is_refused(small: TestClient) -> None:
    headers = {"content-type": "application/json"}
    for content, status, message in (
        (b"{", 422, "the body is no JSON"),
        (b'{"user": ' + b"[" * 100_000, 422, "the body cannot be read: it is nested too deeply"),
        (b'{"user": "\xff"}', 422, "the body cannot be read: it is not UTF-8"),
        (b'{"user": "u1", "k": ' + b"1" * 5000 + b"}", 422, "a number in it has too many digits"),
        (b"", 422, "the body is empty"),
        (b'{"user": "\\ud800"}', 404, r"user: there is no user '\ud800'"),
    ):
        response = small.post("/recommend", content=content, headers=headers)
        assert response.status_code == status
        assert message in response.json()["error"]
    for content in (
        b'{"user": ' + b"[" * 200_000,  # deeper than the parser goes
        b'{"user": "u1", "k": ' + b"1" * 5000 + b"}",
        b'{"user": "' + b"u" * 900_000 + b'"}',
        json.dumps(dict.fromkeys(map(str, range(20_000)))).encode(),
    ):
        response = small.post("/recommend", content=content, headers=headers)
        assert response.status_code in (404, 422)
        assert len(response.json()["error"]) < 600
    form = small.post("/recommend", content=b'{"user": "u1"}', headers={"content-type": "text/plain"})
    assert form.status_code == 422  # what a page of another site can send unasked
    assert "send the header content-type: application/json" in form.json()["error"]
    wrong_method = small.get("/recommend")
    assert (wrong_method.status_code, wrong_method.json()) == (405, {"error": "this path takes POST"})
    for path in ("/health", "/metrics"):
        assert small.head(path).status_code == 200
    no_path = small.get("/nothing/%1b")
    assert (no_path.status_code, no_path.json()) == (
        404,
        {"error": "there is no such path; GET /openapi.json lists those that are there"},
    )


def test_a_name_that_is_not_this_machines_is_refused(small: TestClient) -> None:
    refused = small.get("/health", headers={"host": "evil.example"})
    assert refused.status_code == 400
    assert "names another machine; call this one localhost or 127.0.0.1 or ::1 or [::1]" in refused.json()["error"]
    assert refused.json()["error"].count(" 127.0.0.1") == 1
    for name in ("localhost:8000", "127.0.0.1", "[::1]:8000"):
        assert small.get("/health", headers={"host": name}).status_code == 200


def test_a_full_queue_is_503_and_the_loop_goes_on(serve: Callable[..., Service]) -> None:
    service = serve("full", max_queue="1")
    entered, may_end = threading.Event(), threading.Event()

    def hold(requests: Sequence[object]) -> Sequence[object]:
        entered.set()
        assert may_end.wait(timeout=60)
        return requests

    with TestClient(build_app(service), base_url="http://127.0.0.1") as client:
        held = service.worker.submit(hold, 1)
        assert entered.wait(timeout=60)
        waits = service.worker.submit(hold, 2)
        response = client.post("/recommend", json={"user": "u1"})
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert "1 requests are waiting" in response.json()["error"]
        assert client.get("/health").status_code == 200  # while the worker computes
        may_end.set()
        assert (held.result(timeout=60), waits.result(timeout=60)) == (1, 2)
        assert client.post("/recommend", json={"user": "u1"}).status_code == 200


def test_what_nobody_foresaw_is_500_without_its_text(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret")

    client = ask("full")
    monkeypatch.setattr("peftrec.serving.best_for_users.user_states", fail)
    response = client.post("/recommend", json={"user": "u1"})
    assert response.status_code == 500
    assert "secret" not in response.text
    monkeypatch.undo()
    assert client.post("/recommend", json={"user": "u1"}).status_code == 200


def test_the_schema_says_what_is_sent_and_answered(small: TestClient) -> None:
    schema = small.get("/openapi.json").json()
    assert {path: sorted(methods) for path, methods in schema["paths"].items()} == {
        "/recommend": ["post"],
        "/encode": ["post"],
        "/items": ["post"],
        "/health": ["get"],
        "/metrics": ["get"],
    }
    assert set(schema["paths"]["/recommend"]["post"]["responses"]) == {"200", "404", "408", "413", "422", "503", "507"}
    assert "http" not in json.dumps(schema["components"])
    assert {*re.findall(r"(?<=\s)/\w+", json.dumps(schema["components"]))} == {"/health"}  # no path that is none
    assert small.get("/docs").status_code == 404
