"""`seqwatch import`: past predictions and labels, from files, through the public interface."""
