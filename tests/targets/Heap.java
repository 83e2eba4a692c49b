import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.lang.management.GarbageCollectorMXBean;
import java.lang.management.ManagementFactory;
import java.lang.management.MemoryPoolMXBean;
import java.lang.ref.PhantomReference;
import java.lang.ref.Reference;
import java.lang.ref.ReferenceQueue;
import java.nio.ByteBuffer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.management.ObjectName;

/// A Java heap of known size: filled, then 70 % dropped and collected. It tells
/// what the virtual machine says of itself, in the protocol of target.h.
public class Heap {
    static final int BLOCK = 100_000;
    /// Without a buffer, so that they take no memory.
    static final FileInputStream IN = new FileInputStream(FileDescriptor.in);
    static final FileOutputStream OUT = new FileOutputStream(FileDescriptor.out);

    public static void main(String[] arguments) throws Exception {
        // MiB of direct buffers, where they are asked for.
        ByteBuffer direct =
                arguments.length < 2 ? null : ByteBuffer.allocateDirect(Integer.parseInt(arguments[1]) << 20);
        byte[][] blocks = new byte[Integer.parseInt(arguments[0])][];
        for (int i = 0; i < blocks.length; i++) {
            blocks[i] = new byte[BLOCK];
        }
        collect();
        tell();
        for (int i = 0; i < blocks.length; i++) {
            if (i % 10 < 7) {
                blocks[i] = null;
            }
        }
        collect();
        tell();
        Reference.reachabilityFence(blocks);
        Reference.reachabilityFence(direct);
    }

    /// Collects what is not used, and what the threads that hear of it use then.
    static void collect() throws InterruptedException {
        ReferenceQueue<Object> told = new ReferenceQueue<>();
        Reference<Object> dead = new PhantomReference<>(new Object(), told);
        System.gc();
        told.remove();
        Reference.reachabilityFence(dead);
        System.gc();
    }

    /// Says the word, and once more for each line that asks for it again.
    static void tell() throws Exception {
        int first;
        do {
            say();
            first = IN.read();
            for (int next = first; next != '\n'; next = IN.read()) {
                // Who would ask has ended.
                if (next < 0) {
                    System.exit(1);
                }
            }
        } while (first == 'a');
    }

    /// Says the word once it stays true while it is said: that takes memory too.
    static void say() throws Exception {
        byte[] line;
        long used;
        do {
            used = used();
            line = word(used).getBytes("US-ASCII");
        } while (used() != used);
        OUT.write(line);
    }

    static long used() {
        return ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed();
    }

    static String word(long used) throws Exception {
        long metaspace = 0;
        long code = 0;
        for (MemoryPoolMXBean pool : ManagementFactory.getMemoryPoolMXBeans()) {
            String name = pool.getName();
            if (name.equals("Metaspace")) {
                metaspace = pool.getUsage().getCommitted();
            } else if (name.startsWith("Code")) {
                code += pool.getUsage().getCommitted();
            }
        }
        long collections = 0;
        for (GarbageCollectorMXBean one : ManagementFactory.getGarbageCollectorMXBeans()) {
            collections += one.getCollectionCount();
        }
        String said = " collections=" + collections + " metaspace=" + metaspace + " code=" + code;
        return "ready used=" + used + " info=" + info() + said + tracked() + "\n";
    }

    /// What native memory tracking says, where it is on (-XX:NativeMemoryTracking):
    /// resident stacks, and what collectors map for their tables.
    static String tracked() throws Exception {
        String text = diagnose("vmNativeMemory", new Object[] { new String[] { "summary" } });
        Matcher stacks = Pattern.compile("stack: reserved=\\d+KB, committed=(\\d+)KB").matcher(text);
        Matcher tables = Pattern.compile("GC \\(reserved[^-]*mmap: reserved=\\d+KB, committed=(\\d+)KB").matcher(text);
        if (!stacks.find() || !tables.find()) {
            return "";
        }
        long[] sizes = { Long.parseLong(stacks.group(1)) << 10, Long.parseLong(tables.group(1)) << 10 };
        return " stacks=" + sizes[0] + " tables=" + sizes[1];
    }

    /// The bytes in use by `GC.heap_info`.
    static long info() throws Exception {
        String text = diagnose("gcHeapInfo", null);
        Matcher figure = Pattern.compile("used (\\d+)([KM])").matcher(text);
        long used = 0;
        while (figure.find()) {
            used += Long.parseLong(figure.group(1)) << (figure.group(2).equals("M") ? 20 : 10);
            if (text.contains("garbage-first") || text.contains("ZHeap")) {
                break;
            }
        }
        return used;
    }

    /// What `jcmd` would be told.
    static String diagnose(String command, Object[] arguments) throws Exception {
        ObjectName name = new ObjectName("com.sun.management:type=DiagnosticCommand");
        String[] types = arguments == null ? null : new String[] { String[].class.getName() };
        return (String) ManagementFactory.getPlatformMBeanServer().invoke(name, command, arguments, types);
    }
}
