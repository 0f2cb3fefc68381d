#!/usr/bin/env python3
"""Has a running server explain recommendations, and judges every sentence without the server's checker.

    zhiyin demo --listen 127.0.0.1:8723          # or `zhiyin serve` over data of your own
    python3 benchmarks/texts.py --url http://127.0.0.1:8723 --key KEY --texts 1000

Takes users from the catalogue of users, asks for the explanations of their first recommendations one by one, and waits for the model. Texts that
were kept from an earlier run aren't written again: they count as given, not as accepted or rejected.

A sentence is grounded if all of this holds, found out by means that share nothing with the checker:
* without the titles and numbers that the reasons and the catalogue give, no word of it is in the title of any item (other than the words of everyday
  language listed below), and no digit is left;
* every title in it is that of the item, or of a reason of this item for this user;
* a title after "bought", "looked at" and the like is that of a reason with this very verb, and every such verb has a title after it;
* "many people", "popular", "friends", "similar" and "reviews" stand only where a reason says so.
"""

import argparse
import json
import re
import time
import urllib.request

# The engine's words for what was done with an item, and those of the sentences.
DEEDS = {
    "bought": ["bought", "purchased"],
    "viewed": ["looked at", "viewed"],
    "looked at": ["looked at", "viewed"],
    "put into the cart": ["added"],
    "rated": ["liked", "enjoyed"],
    "liked": ["liked", "enjoyed"],
    "played": ["played"],
    "shared": ["shared"],
    "reviewed": ["reviewed"],
}
CLAIMS = {
    "popularity": r"many people choose it|it is popular\b(?! where)",
    "segment_popularity": r"it is popular where you are",
    "segment": r"it is popular where you are",
    "reviews": r"its reviews are good|it has good reviews",
    "neighbours": r"people with (?:a similar taste|similar choices) chose it",
    "friends": r"your friends chose it",
    "price_fit": r"its price is about what you usually pay",
    "price_band": r"its price is about what you usually pay",
    "category_affinity": r"it is of a kind that you often choose",
    "hour": r"it is often chosen at this time",
    "weekday": r"it is often chosen at this time",
    "hour_match": r"it is often chosen at this time",
    "weekday_match": r"it is often chosen at this time",
}
# What may be left when titles and claims are taken out: the language that invites and joins.
EVERYDAY = set(
    "we recommend suggest you might may also like have a look at because since as and so thought of it suit could be to your taste before cart".split()
)


def ask(arguments, method, route, body=None):
    headers = {"content-type": "application/json"}
    if arguments.key:
        headers["authorization"] = f"Bearer {arguments.key}"
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(arguments.url + route, data=data, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def titles(arguments):
    """Titles of the catalogue by item."""
    found, after = {}, ""
    while True:
        page = ask(arguments, "GET", f"/v1/items?limit=1000{after}")
        found.update((row["id"], row.get("title") or row["id"]) for row in page["rows"])
        if not page.get("next"):
            return found
        after = f"&after={page['next']}"


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


def complaint(text, item, catalogue):
    """What is wrong with a sentence; nothing if it is grounded."""
    own = catalogue[item["item"]]
    said = {}
    for reason in item["reasons"]:
        if reason["kind"] == "history":
            verb = re.match(r"because you (bought|viewed|looked at|put into the cart|rated|liked|played|shared|reviewed|chose it before)", reason["text"])
            for word in DEEDS.get(verb.group(1), sum(DEEDS.values(), [])) if verb else []:
                said.setdefault(word, set()).add(catalogue[reason["subject"]])
    rest, known = text, [own] + [name for names in said.values() for name in names]
    every_verb = "|".join(sorted({word for words in DEEDS.values() for word in words}, key=len, reverse=True))
    quoted = re.findall(r"“([^”]*)”", text)
    if not all(name in known for name in quoted):
        return f"names {[name for name in quoted if name not in known]}"
    if quoted.count(own) != 1:
        return "doesn't name the item once"
    for verb, objects in re.findall(rf"\b({every_verb}) (“[^”]*”(?: and “[^”]*”)?|it before)?", text):
        names = re.findall(r"“([^”]*)”", objects) or ([own] if objects else [])
        if not names or any(name not in said.get(verb, ()) for name in names):
            return f"says {verb!r} of {names}"
    rest = re.sub(r"“[^”]*”", " ", rest)
    rest = re.sub(rf"\b(?:{every_verb})\b", " ", rest)
    subjects = {reason.get("subject") or reason["kind"] for reason in item["reasons"]} | {reason["kind"] for reason in item["reasons"]}
    for claim, pattern in CLAIMS.items():
        if claim in subjects:
            rest = re.sub(pattern, " ", rest, flags=re.IGNORECASE)
    left = [word for word in re.findall(r"[^\W_]+", rest.lower()) if word not in EVERYDAY]
    return f"says {left}" if left else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8723")
    parser.add_argument("--key", default="")
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--wait-ms", type=int, default=30000)
    parser.add_argument("--examples", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many seconds")
    arguments = parser.parse_args()
    catalogue = titles(arguments)
    before = ask(arguments, "GET", "/v1/language")["texts"]
    started, by_model, templates, reasons, ungrounded = time.time(), [], 0, {}, []
    for user, item in pairs(arguments):
        if len(by_model) + templates >= arguments.texts or time.time() - started > arguments.seconds:
            break
        body = {"user": user, "items": [item], "language": "en", "wait_ms": arguments.wait_ms}
        explained = ask(arguments, "POST", "/v1/explanations", body)["items"][0]
        text = explained["explanation"]
        wrong = complaint(text["text"], explained, catalogue)
        if wrong:
            ungrounded.append({"text": text["text"], "origin": text["origin"], "wrong": wrong})
        if text["origin"] == "model":
            by_model.append(text["text"])
        else:
            templates += 1
            because = text.get("because", "pending")
            reasons[because] = reasons.get(because, 0) + 1
    after = ask(arguments, "GET", "/v1/language")["texts"]
    accepted, rejected = (after[kind] - before[kind] for kind in ("accepted", "rejected"))
    given = len(by_model) + templates
    print(json.dumps({
        "benchmark": "texts",
        "given": given,
        "by_model": len(by_model),
        "different": len(set(by_model)),
        "written": accepted + rejected,
        "rejected_share": rejected / max(1, accepted + rejected),
        "grounded_share": 1 - len(ungrounded) / max(1, given),
        "ungrounded": ungrounded[: arguments.examples],
        "seconds_per_text": (time.time() - started) / max(1, given),
        "examples": by_model[:: max(1, len(by_model) // arguments.examples)][: arguments.examples],
        "why_not": dict(sorted(reasons.items(), key=lambda pair: -pair[1])[:5]),
    }, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
