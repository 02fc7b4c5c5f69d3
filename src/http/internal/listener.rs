//! The internal listener: every request is a future of its own.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use actix_http::Request;
use actix_server::Server;
use futures_util::future::LocalBoxFuture;

use super::{Internal, answer};
use crate::http::listener::{self, Answers, ListenerOptions};
use crate::http::reply::Reply;

/// Serves on a bound socket until the returned server is stopped through its handle. Signals are the caller's.
///
/// # Errors
/// When the socket cannot be used.
pub fn serve(internal: Arc<Internal>, socket: TcpListener, options: ListenerOptions) -> io::Result<Server> {
    listener::serve(internal, "internal", socket, options)
}

impl Answers for Internal {
    type Future = LocalBoxFuture<'static, Reply>;

    fn answer(self: &Arc<Self>, request: Request) -> Self::Future {
        let internal = Arc::clone(self);
        Box::pin(async move { answer(&internal, request).await })
    }
}
