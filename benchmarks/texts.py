#!/usr/bin/env python3
"""Has a running server explain recommendations, and reports how many texts of its language model pass the checker.

    zhiyin demo --listen 127.0.0.1:8723          # or `zhiyin serve` over data of your own
    python3 benchmarks/texts.py --url http://127.0.0.1:8723 --texts 200

Takes users from the catalogue of users, asks for the explanations of their first recommendations one by one, and waits for the model. Texts that
were kept from an earlier run aren't written again: they count as given, not as accepted or rejected.
"""

import argparse
import json
import time
import urllib.request


def ask(arguments, method, route, body=None):
    headers = {"content-type": "application/json"}
    if arguments.key:
        headers["authorization"] = f"Bearer {arguments.key}"
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(arguments.url + route, data=data, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def pairs(arguments):
    """Users with an item that is recommended to them."""
    after = ""
    while True:
        page = ask(arguments, "GET", f"/v1/users?limit=100{after}")
        for user in page["rows"]:
            listed = ask(arguments, "POST", "/v1/recommendations", {"user": user["id"], "limit": 3})
            yield from ((user["id"], item["item"]) for item in listed["items"])
        if not page.get("next"):
            return
        after = f"&after={page['next']}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8723")
    parser.add_argument("--key", default="")
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--wait-ms", type=int, default=30000)
    parser.add_argument("--examples", type=int, default=5)
    arguments = parser.parse_args()
    before = ask(arguments, "GET", "/v1/language")["texts"]
    started, examples, reasons, given = time.time(), [], {}, 0
    for user, item in pairs(arguments):
        if given == arguments.texts:
            break
        body = {"user": user, "items": [item], "wait_ms": arguments.wait_ms}
        text = ask(arguments, "POST", "/v1/explanations", body)["items"][0]["explanation"]
        given += 1
        if text["origin"] == "model":
            examples.append(text["text"])
        else:
            because = text.get("because", "pending")
            reasons[because] = reasons.get(because, 0) + 1
    after = ask(arguments, "GET", "/v1/language")["texts"]
    accepted, rejected = (after[kind] - before[kind] for kind in ("accepted", "rejected"))
    print(json.dumps({
        "benchmark": "texts",
        "given": given,
        "by_model": len(examples),
        "written": accepted + rejected,
        "rejected_share": rejected / max(1, accepted + rejected),
        "seconds_per_text": (time.time() - started) / max(1, given),
        "examples": examples[:: max(1, len(examples) // arguments.examples)][: arguments.examples],
        "why_not": dict(sorted(reasons.items(), key=lambda pair: -pair[1])[:5]),
    }, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
