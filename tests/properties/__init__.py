"""What holds for any order, repetition and delay of triggers."""
