"""The images that calibrate and compare exported files."""
