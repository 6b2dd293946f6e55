"""Files that deploy an exported model, and clients to copy from."""
