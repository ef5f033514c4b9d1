// Runs Kafka's command line tools one after another in one JVM, for tests that use many of them.
//
//   java -cp 'LIBS/*' Tools.java
//
// Each request is a line on standard input: the tool's class, its arguments and then what it reads
// on its standard input, each as base64, separated by blanks. The answer is a line on standard
// output: the exit status and what the tool printed on both streams, as base64.
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import org.apache.kafka.common.utils.Exit;

public class Tools {
  // A tool that exits unwinds to run() instead. Some tools catch that and exit again: the first
  // status counts, and what they print from there on is dropped.
  static class Exited extends RuntimeException {}
  static Integer firstStatus;
  // What a tool does when its JVM ends (the console producer flushes then) is done after its main.
  static final List<Runnable> hooks = new ArrayList<>();

  static void exited(int status, String message) {
    if (firstStatus == null) {
      firstStatus = status;
      if (message != null) System.out.println(message);
      System.setOut(new PrintStream(OutputStream.nullOutputStream()));
      System.setErr(System.out);
    }
    throw new Exited();
  }

  public static void main(String[] args) throws Exception {
    Exit.setExitProcedure(Tools::exited);
    Exit.setHaltProcedure(Tools::exited);
    Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
    PrintStream answers = System.out;
    BufferedReader requests = new BufferedReader(new InputStreamReader(System.in));
    String line;
    while ((line = requests.readLine()) != null) {
      String[] parts = Arrays.stream(line.split(" ", -1))
          .map(part -> new String(Base64.getDecoder().decode(part), StandardCharsets.UTF_8))
          .toArray(String[]::new);
      answers.println(run(parts));
      answers.flush();
    }
  }

  static String run(String[] parts) {
    ByteArrayOutputStream said = new ByteArrayOutputStream();
    PrintStream out = new PrintStream(said, true, StandardCharsets.UTF_8);
    String input = parts[parts.length - 1];
    System.setIn(new ByteArrayInputStream(input.getBytes(StandardCharsets.UTF_8)));
    System.setOut(out);
    System.setErr(out);
    int status = 0;
    firstStatus = null;
    try {
      Class.forName(parts[0]).getMethod("main", String[].class)
          .invoke(null, (Object) Arrays.copyOfRange(parts, 1, parts.length - 1));
    } catch (InvocationTargetException error) {
      if (firstStatus == null) error.getCause().printStackTrace(out);
      status = 1;
    } catch (ReflectiveOperationException error) {
      out.println(error);
      status = 127;
    }
    for (Runnable hook : hooks) hook.run();
    hooks.clear();
    if (firstStatus != null) status = firstStatus;
    out.flush();
    return status + " " + Base64.getEncoder().encodeToString(said.toByteArray());
  }
}
