"""Files and bytes that learners are saved in."""
