"""What is done to a network whatever the method: copied, laid out, admitted, rebuilt."""
