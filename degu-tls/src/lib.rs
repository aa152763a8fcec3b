//! TLS policy for the Degu family.
