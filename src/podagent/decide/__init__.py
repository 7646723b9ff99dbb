"""What is wanted, in which order, what is to be done, and when again. Pure: values in, values out."""
