//! Generated of `wit/0.3`. That file is the documentation.
#![allow(missing_docs, unsafe_code, unreachable_pub, clippy::all, reason = "generated code")]

wit_bindgen::generate!({
    path: "../../wit/0.3",
    world: "guest",
    pub_export_macro: true,
    export_macro_name: "export_cluster",
});
