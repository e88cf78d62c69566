// A server of grpc-go with health, both versions of reflection and the service of tests/protos, of which it has
// no generated code: its types come from a descriptor set. It prints its address and serves until stdin ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	// reflection describes the files of a set, which import these
	_ "google.golang.org/protobuf/types/known/anypb"
	_ "google.golang.org/protobuf/types/known/durationpb"
	_ "google.golang.org/protobuf/types/known/structpb"
	_ "google.golang.org/protobuf/types/known/timestamppb"
	_ "google.golang.org/protobuf/types/known/wrapperspb"
)

const file, name = "shop/v1/shop.proto", "shop.v1.Shop"

type shop struct {
	item, query, total protoreflect.MessageDescriptor
}

// load makes the files of a descriptor set known, but for those that are compiled in.
func load(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(content, set); err != nil {
		return err
	}
	for _, one := range set.File {
		if _, err := protoregistry.GlobalFiles.FindFileByPath(one.GetName()); err == nil {
			continue
		}
		made, err := protodesc.NewFile(one, protoregistry.GlobalFiles)
		if err != nil {
			return err
		}
		if err := protoregistry.GlobalFiles.RegisterFile(made); err != nil {
			return err
		}
	}
	return nil
}

func message(full protoreflect.FullName) (protoreflect.MessageDescriptor, error) {
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(full)
	if err != nil {
		return nil, err
	}
	return found.(protoreflect.MessageDescriptor), nil
}

func (s *shop) echo(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	item := dynamicpb.NewMessage(s.item)
	return item, decode(item)
}

func (s *shop) add(_ any, stream grpc.ServerStream) error {
	for count := int32(0); ; count++ {
		err := stream.RecvMsg(dynamicpb.NewMessage(s.item))
		if errors.Is(err, io.EOF) {
			total := dynamicpb.NewMessage(s.total)
			total.Set(s.total.Fields().ByName("count"), protoreflect.ValueOfInt32(count))
			return stream.SendMsg(total)
		}
		if err != nil {
			return err
		}
	}
}

func (s *shop) list(_ any, stream grpc.ServerStream) error {
	query := dynamicpb.NewMessage(s.query)
	if err := stream.RecvMsg(query); err != nil {
		return err
	}
	for range query.Get(s.query.Fields().ByName("count")).Int() {
		if err := stream.SendMsg(dynamicpb.NewMessage(s.item)); err != nil {
			return err
		}
	}
	return nil
}

func (s *shop) chat(_ any, stream grpc.ServerStream) error {
	for {
		item := dynamicpb.NewMessage(s.item)
		err := stream.RecvMsg(item)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.SendMsg(item); err != nil {
			return err
		}
	}
}

func run(set string) error {
	if err := load(set); err != nil {
		return err
	}
	s := &shop{}
	for full, place := range map[protoreflect.FullName]*protoreflect.MessageDescriptor{
		"shop.v1.Item": &s.item, "shop.v1.Query": &s.query, "shop.v1.Total": &s.total,
	} {
		found, err := message(full)
		if err != nil {
			return err
		}
		*place = found
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: name,
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Echo", Handler: s.echo}},
		Streams: []grpc.StreamDesc{
			{StreamName: "Add", Handler: s.add, ClientStreams: true},
			{StreamName: "List", Handler: s.list, ServerStreams: true},
			{StreamName: "Chat", Handler: s.chat, ClientStreams: true, ServerStreams: true},
		},
		Metadata: file,
	}, s)
	healthpb.RegisterHealthServer(server, health.NewServer())
	reflection.Register(server)
	fmt.Println(listener.Addr())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		server.Stop()
	}()
	return server.Serve(listener)
}

func main() {
	set := flag.String("set", "", "descriptor set of tests/protos")
	flag.Parse()
	if err := run(*set); err != nil {
		log.Fatal(err)
	}
}
