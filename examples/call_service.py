"""Send a song to a running `genreline serve`: `python call_service.py SONG [URL]`. Needs httpx."""

import sys

import httpx

url = sys.argv[2] if len(sys.argv) > 2 else "http://127.0.0.1:8000"
with open(sys.argv[1], "rb") as file:
    answer = httpx.post(f"{url}/v1/timeline", files={"file": file}, timeout=120)
if answer.is_error:
    raise SystemExit(answer.json()["detail"])
print(answer.json()["dominant"], answer.json()["overall"])
