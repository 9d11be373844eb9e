// SPDX-License-Identifier: BSD-3-Clause
//! How a test says what is wrong.

use alloc::string::String;

/// Why a test failed.
pub type Fail = String;

/// What a test, or a step of it, ends with.
pub type Check<T = ()> = Result<T, Fail>;

/// Ends a test as failed.
macro_rules! fail {
    ($($argument:tt)*) => {
        return Err(alloc::format!($($argument)*))
    };
}
pub(crate) use fail;

/// Ends a test as failed unless a condition holds.
macro_rules! ensure {
    ($condition:expr, $($argument:tt)*) => {
        if !$condition {
            return Err(alloc::format!($($argument)*));
        }
    };
}
pub(crate) use ensure;

/// Ends a test as failed unless two numbers are equal.
macro_rules! ensure_eq {
    ($found:expr, $wanted:expr, $($argument:tt)*) => {{
        let (found, wanted) = ($found, $wanted);
        if found != wanted {
            return Err(alloc::format!(
                "{}: {:#x}, wanted {:#x}", format_args!($($argument)*), found, wanted
            ));
        }
    }};
}
pub(crate) use ensure_eq;
