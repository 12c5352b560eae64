//! What using a class or function from a pickle does, proved from its source.
