"""The demo: invented esports messages, sound and broken, to run the pipeline on."""
