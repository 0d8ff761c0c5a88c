//! What tests Tidegate as a whole: the model of its commit protocol, and the
//! mistakes that the tests must catch.

#[cfg(test)]
mod documents;
#[cfg(test)]
mod fuzz;
pub mod mistakes;
pub mod model;
#[cfg(test)]
mod rooms;
pub mod simulation;
