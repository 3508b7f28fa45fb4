//! The macros that make a component of a type. Use one of them, once.

/// Exports a [`Worker`](crate::Worker): HTTP, lifecycle, messages, questions and tasks.
#[macro_export]
macro_rules! worker {
    ($type:ty) => {
        const _: () = {
            $crate::__instance!($type);
            $crate::__export_http!($type);
            $crate::__export_cluster!($type, Worker);
        };
    };
}

/// Exports an [`Agent`](crate::Agent): lifecycle, messages, questions and tasks.
#[macro_export]
macro_rules! agent {
    ($type:ty) => {
        const _: () = {
            $crate::__instance!($type);
            $crate::__export_cluster!($type, Agent);
        };
    };
}

/// Exports only the HTTP side of a [`Worker`](crate::Worker), so that the component runs in any host
/// that has `wasi:http`, as long as the rest of the SDK is not called.
#[macro_export]
macro_rules! http {
    ($type:ty) => {
        const _: () = {
            $crate::__instance!($type);
            $crate::__export_http!($type);
        };
    };
}

/// The one value of the type that all exports share.
#[doc(hidden)]
#[macro_export]
macro_rules! __instance {
    ($type:ty) => {
        struct Export;

        impl Export {
            fn instance() -> &'static $type {
                ::std::thread_local! {
                    // As long as the instance itself, which is never taken down from the inside.
                    static INSTANCE: &'static $type =
                        ::std::boxed::Box::leak(::std::default::Default::default());
                }
                INSTANCE.with(|instance| *instance)
            }
        }
    };
}
