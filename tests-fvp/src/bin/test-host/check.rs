// SPDX-License-Identifier: BSD-3-Clause
//! How a test says what is wrong.

use alloc::string::{String, ToString};
use core::fmt;

/// Why a test ended before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Something is not as it must be.
    Failed(String),
    /// This machine lacks what the test is about.
    Skipped(String),
}

impl From<String> for Stop {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl From<&str> for Stop {
    fn from(why: &str) -> Self {
        Self::Failed(why.to_string())
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) => f.write_str(why),
            Self::Skipped(why) => write!(f, "skipped: {why}"),
        }
    }
}

/// What a test, or a step of it, ends with.
pub type Check<T = ()> = Result<T, Stop>;

/// Ends a test as failed.
macro_rules! fail {
    ($($argument:tt)*) => {
        return Err($crate::check::Stop::Failed(alloc::format!($($argument)*)))
    };
}
pub(crate) use fail;

/// Ends a test as skipped. It must not have begun: nothing is cleaned up.
macro_rules! skip {
    ($($argument:tt)*) => {
        return Err($crate::check::Stop::Skipped(alloc::format!($($argument)*)))
    };
}
pub(crate) use skip;

/// Ends a test as failed unless a condition holds.
macro_rules! ensure {
    ($condition:expr, $($argument:tt)*) => {
        if !$condition {
            $crate::check::fail!($($argument)*);
        }
    };
}
pub(crate) use ensure;

/// Ends a test as failed unless two numbers are equal.
macro_rules! ensure_eq {
    ($found:expr, $wanted:expr, $($argument:tt)*) => {{
        let (found, wanted) = ($found, $wanted);
        if found != wanted {
            $crate::check::fail!(
                "{}: {:#x}, wanted {:#x}", format_args!($($argument)*), found, wanted
            );
        }
    }};
}
pub(crate) use ensure_eq;
