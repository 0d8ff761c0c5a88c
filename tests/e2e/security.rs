//! Brokers and stores that ask who comes, and what of that may be seen: logins,
//! certificates, rights, secrets.

mod logins;
mod policy;
mod private_ca;
mod refused;
mod rights;
mod scene;
mod secrets;
mod store;
