"""The tuning index: what the fine-tuning set holds, with how many people, and for whom. docs/index.md is its page."""
