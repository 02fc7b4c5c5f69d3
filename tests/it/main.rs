//! maitred as others see it: the built binary and the real parts around it, as processes.
//!
//! One binary with one module for each subject, so that there is one link. `tests/run` installs the parts; a part that is missing
//! fails the test that needs it.

mod house;
