"""The book's sources, and the program that builds it (`make book`)."""
