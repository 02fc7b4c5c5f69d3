//! The public listener over real sockets, in raw bytes: what a client sends is what is written here.

mod bytes;
mod cold;
mod doors;
mod fixture;
mod floods;
mod handover;
mod hostile;
mod log;
mod owners;
mod redirects;
mod scripts;
mod sessions;
mod tls;
