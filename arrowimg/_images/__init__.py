"""What a picture is, and how it becomes JPEG."""
