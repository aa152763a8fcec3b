//! Generates tonic's client and server, without a `.proto` file, as its documentation describes.

fn main() {
    #[cfg(feature = "peers")]
    {
        use tonic_build::manual::{Builder, Method, Service};

        let echo = Method::builder()
            .name("echo")
            .route_name("Echo")
            .input_type("super::super::Reading")
            .output_type("super::super::Reading")
            .codec_path("tonic_prost::ProstCodec")
            .build();
        Builder::new().compile(&[Service::builder().name("Echo").package("bench").method(echo).build()]);
    }
}
