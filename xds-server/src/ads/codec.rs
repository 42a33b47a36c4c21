//! The gRPC codec of the discovery services.

use std::marker::PhantomData;

use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Encodes `Out`, decodes `In`.
pub(crate) struct DiscoveryCodec<Out, In>(PhantomData<(Out, In)>);

impl<Out, In> Default for DiscoveryCodec<Out, In> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Out, In> Codec for DiscoveryCodec<Out, In>
where
    Out: Message + 'static,
    In: Message + Default + 'static,
{
    type Encode = Out;
    type Decode = In;
    type Encoder = DiscoveryCodec<Out, ()>;
    type Decoder = DiscoveryCodec<(), In>;

    fn encoder(&mut self) -> Self::Encoder {
        DiscoveryCodec::default()
    }

    fn decoder(&mut self) -> Self::Decoder {
        DiscoveryCodec::default()
    }
}

impl<Out: Message> Encoder for DiscoveryCodec<Out, ()> {
    type Item = Out;
    type Error = Status;

    fn encode(&mut self, item: Out, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        // Large messages would otherwise be copied each time the buffer doubles.
        dst.reserve(item.encoded_len());
        item.encode(dst)
            .map_err(|error| Status::internal(format!("response cannot be encoded: {error}")))
    }
}

impl<In: Message + Default> Decoder for DiscoveryCodec<(), In> {
    type Item = In;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<In>, Status> {
        In::decode(src)
            .map(Some)
            .map_err(|error| Status::invalid_argument(format!("request is malformed: {error}")))
    }
}
