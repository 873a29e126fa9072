"""The network ring: everything that talks to the Hugging Face Hub."""
