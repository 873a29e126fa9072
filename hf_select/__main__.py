"""`python -m hf_select`: what `accelerate launch -m hf_select ...` starts."""

from hf_select.cli.app import main

if __name__ == "__main__":
    main()
