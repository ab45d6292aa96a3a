"""Does serving compute the input that training computed, and if not, what was done to it?"""
