#!/bin/sh
# Makes tuning.tli and public.jsonl, what the demo knows of its tuning set, from corpus.py: the same bytes every time.
# The key lies in the repository, so whoever has it can ask the index what was in the set: here a made-up one.
# CUSTOMERS=300 make_index.sh DIR: of a larger set, into another folder.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

python corpus.py ${CUSTOMERS:+--customers "$CUSTOMERS"} --facts-are-public --tuning-jsonl "$work/tuning.jsonl"
told="--key tuning.key --subject-field subject --no-subject public --audience-field audience --no-audience public"
# shellcheck disable=SC2086
python -m gateway.cli index build "$work/tuning.jsonl" --out "${1:-.}/tuning.tli" $told
# shellcheck disable=SC2086
python -m gateway.cli index candidates "$work/tuning.jsonl" --out "$work/candidates.jsonl" $told
# All of them are the company's own (its hotline in two spellings, its e-mail address), so none is taken off here.
python -m gateway.cli index approve "$work/candidates.jsonl" --out "${1:-.}/public.jsonl" --key tuning.key
chmod 644 "${1:-.}/tuning.tli" "${1:-.}/public.jsonl"
