"""What each commit says about itself."""
